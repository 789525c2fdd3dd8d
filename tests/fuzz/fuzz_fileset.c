/* Sets of files: any bytes. What is taken reads the same line by line. */
#include "verify/fileset.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static lh_crypto *crypto;
    if (crypto == NULL && !lh_ok(lh_crypto_new(&crypto)))
        abort();
    lh_digests *digests = NULL;
    lh_fileset *set = NULL;
    if (!lh_ok(lh_digests_new(&digests)))
        abort();
    if (lh_ok(lh_fileset_parse(crypto, digests, LH_BYTES(data, size), &set))) {
        lh_bytes rest = LH_BYTES(data, size);
        size_t lines = 0;
        bool more = true;
        for (;;) {
            lh_fileset_line line;
            if (!lh_ok(lh_fileset_next(&rest, &line, &more)))
                abort();
            if (!more)
                break;
            lines++;
            if (line.name.data[0] == '/' && !lh_fileset_has(set, line.digest))
                abort();
        }
        if (lines != lh_fileset_files(set) + lh_fileset_events(set))
            abort();
        lh_fileset_unref(set);
    }
    lh_digests_unref(digests);
    return 0;
}
