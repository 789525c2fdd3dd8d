/* Officers' signatures, always made by ssh-keygen: key files, ssh-agent, FIDO2 keys, smart cards. */
#ifndef LH_TOOLS_SIGN_H
#define LH_TOOLS_SIGN_H

#include "base/bytes.h"

typedef struct sign_job sign_job;

/* Whether there is something to sign with: the file, or its public half (KEY.pub) for a key that the agent
 * holds. Errors: LH_E_NOT_FOUND. */
LH_MUST lh_err sign_check_key(const char *key);

/* Start `ssh-keygen -Y sign -n leasehold -f key` over text. key: a private key, or the public key of one that
 * the agent holds. Several may run at once. Errors: LH_E_NOT_FOUND (no ssh-keygen, no such key), LH_E_IO. */
LH_MUST lh_err sign_start(const char *key, lh_bytes text, sign_job **ret);
/* Wait and append the armored signature. Errors: LH_E_SIGNATURE (ssh-keygen failed; it has said why). */
LH_MUST lh_err sign_finish(sign_job *job, lh_buf *ret_armor);
/* Takes NULL. */
void sign_free(sign_job *job);
LH_DEFINE_FREEP(sign_job, sign_free)

/* Both. */
LH_MUST lh_err sign_text(const char *key, lh_bytes text, lh_buf *ret_armor);

#endif
