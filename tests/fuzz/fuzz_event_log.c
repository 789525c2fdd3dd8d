/* The event log: any bytes are read, replayed and compared; what is accepted is accepted with its own values
 * and no others. */
#include "verify/boot.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(void *arg, const lh_event *event)
{
    size_t *bytes = arg;
    if (event->pcr >= LH_EVENT_PCRS)
        abort();
    for (size_t i = 0; i < event->data.len; i++)
        *bytes += event->data.data[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static lh_crypto *crypto; /* made once */
    if (!crypto && !lh_ok(lh_crypto_new(&crypto)))
        abort();
    lh_boot_replay replay;
    size_t bytes = 0;
    if (!lh_ok(lh_boot_replay_log(crypto, LH_BYTES(data, size), look, &bytes, &replay)))
        return 0;
    if (!lh_ok(lh_boot_compare(&replay, (const uint8_t(*)[32])replay.pcrs, 0xffffff)))
        abort();
    for (unsigned i = 0; i < LH_EVENT_PCRS; i++) {
        if (!(LH_BOOT_PCRS & replay.extended & 1u << i))
            continue;
        replay.pcrs[i][0] ^= 1;
        uint8_t other[LH_EVENT_PCRS][32];
        memcpy(other, replay.pcrs, sizeof(other));
        replay.pcrs[i][0] ^= 1;
        if (lh_ok(lh_boot_compare(&replay, (const uint8_t(*)[32])other, 1u << i)))
            abort();
    }
    return 0;
}
