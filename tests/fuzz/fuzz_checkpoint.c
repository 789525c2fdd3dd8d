/* Checkpoint notes from outside: whatever parses is made of the note's own bytes and can be verified without
 * harm. */
#include "merkle/checkpoint.h"

#include <stdlib.h>

static lh_crypto *crypto;

/* Freed at the end: what OpenSSL keeps in its secure heap looks leaked to a sanitizer, which cannot see
 * there. */
static void stop(void)
{
    lh_crypto_free(crypto);
}

static void start(void)
{
    if (!crypto && (!lh_ok(lh_crypto_new(&crypto)) || atexit(stop) != 0))
        abort();
}

static void check_inside(lh_bytes part, lh_bytes whole)
{
    if (part.len > 0 && (part.data < whole.data || part.data + part.len > whole.data + whole.len))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    start();
    lh_bytes bytes = LH_BYTES(data, size);
    lh_checkpoint_note note;
    if (!lh_ok(lh_checkpoint_parse(bytes, &note)))
        return 0;
    check_inside(note.text, bytes);
    check_inside(note.checkpoint.origin, bytes);
    check_inside(note.checkpoint.extension, bytes);
    for (size_t i = 0; i < note.signature_count; i++) {
        check_inside(note.signatures[i].name, bytes);
        check_inside(note.signatures[i].base64, bytes);
    }
    static const uint8_t key[32] = {1};
    LH_IGNORE(lh_checkpoint_verify(crypto, &note,
        &(lh_note_key){"leasehold/0", LH_NOTE_ED25519, LH_BYTES(key, 32)})); /* only its memory is watched */
    return 0;
}
