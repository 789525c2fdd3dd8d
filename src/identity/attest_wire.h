/* The messages between main and attest: one seqpacket message each, encoded with codec/bin.
 * Request: u8 kind, u64 id, u32 pid, u64 start time (ADOPT; 0 otherwise); READ brings the pidfd.
 * Reply:   u8 kind, u64 id, u32 code; on success READ's facts as a blob, ADOPT brings a pidfd; on failure the
 * error's reason and message. Pure functions: any bytes are safe to pass. */
#ifndef LH_IDENTITY_ATTEST_WIRE_H
#define LH_IDENTITY_ATTEST_WIRE_H

#include "identity/identity.h"

#define LH_ATTEST_MESSAGE_MAX 8192u

enum lh_attest_kind { LH_ATTEST_READ = 1, LH_ATTEST_ADOPT = 2 };

typedef struct {
    enum lh_attest_kind kind;
    uint64_t id;
    pid_t pid;
    uint64_t start_time;
} lh_attest_request;

typedef struct {
    enum lh_attest_kind kind;
    uint64_t id;
    enum lh_code code;
    char reason[64];
    char message[512];
    lh_identity identity; /* READ, where code is LH_OK */
} lh_attest_reply;

void lh_attest_request_encode(const lh_attest_request *request, lh_buf *out);
/* LH_E_CORRUPT. */
LH_MUST lh_err lh_attest_request_decode(lh_bytes bytes, lh_attest_request *ret);
void lh_attest_reply_encode(const lh_attest_reply *reply, lh_buf *out);
/* LH_E_CORRUPT. */
LH_MUST lh_err lh_attest_reply_decode(lh_bytes bytes, lh_attest_reply *ret);

#endif
