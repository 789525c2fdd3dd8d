/* OpenSSH public key lines: what is read is written again in the same way. */
#include "codec/sshsig.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lh_buf raw = LH_BUF_INIT(LH_LIMIT_PUBLIC_KEY);
    lh_buf again = LH_BUF_INIT(LH_LIMIT_PUBLIC_KEY);
    lh_pubkey_line line;
    if (lh_ok(lh_pubkey_line_parse(LH_BYTES(data, size), &raw, &line))) {
        if (!lh_ok(lh_pubkey_format(line.blob, &again)) || again.len > size ||
            memcmp(again.data, data, again.len) != 0)
            abort();
    }
    lh_buf_free(&again);
    lh_buf_free(&raw);
    return 0;
}
