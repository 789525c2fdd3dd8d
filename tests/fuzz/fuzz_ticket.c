/* Tickets: bytes that this vault did not seal never open. */
#include "object/ticket.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static lh_crypto *crypto;
    static lh_secret *key;
    static const uint8_t vault[32] = {1};
    lh_ticket ticket;
    if (!crypto && (!lh_ok(lh_crypto_new(&crypto)) || !lh_ok(lh_secret_random(32, &key))))
        abort();
    if (lh_ok(lh_ticket_open(crypto, key, vault, LH_BYTES(data, size), &ticket)))
        abort();
    return 0;
}
