/* Base64 with padding, strict: RFC 4648 section 4. One encoding per value: no white space, no missing or
 * misplaced padding, no bits set behind the last byte. Not constant time: for public data only. */
#ifndef LH_CODEC_BASE64_H
#define LH_CODEC_BASE64_H

#include "base/bytes.h"

/* Append the encoding of in. Fails as buffers do (lh_buf_status). */
void lh_base64_encode(lh_bytes in, lh_buf *out);

/* Append what text encodes; out keeps its content on error. LH_E_INVALID with reason "base64"; LH_E_LIMIT or
 * LH_E_NOMEM as the buffer's. */
LH_MUST lh_err lh_base64_decode(lh_bytes text, lh_buf *out);

#endif
