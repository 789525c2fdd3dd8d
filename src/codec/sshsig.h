/* OpenSSH's signature files ("SSH SIGNATURE") and public key lines, read strictly; nothing is verified here
 * (crypto/ssh.h does). Sources: OpenSSH's PROTOCOL.sshsig and sshd(8), AUTHORIZED_KEYS FILE FORMAT. */
#ifndef LH_CODEC_SSHSIG_H
#define LH_CODEC_SSHSIG_H

#include "base/bytes.h"
#include "base/limits.h"

#define LH_SSHSIG_NAMESPACE "leasehold"
#define LH_SSH_KEY_TYPE_MAX 64 /* bytes in a key type's name */

enum lh_sshsig_hash { LH_SSHSIG_SHA256, LH_SSHSIG_SHA512 };

typedef struct {
    lh_bytes public_key; /* the signer's public key blob */
    char namespace[LH_LIMIT_NAME + 1];
    enum lh_sshsig_hash hash; /* by which the message was hashed before signing */
    lh_bytes signature;       /* a signature blob, as lh_ssh_verify takes it */
} lh_sshsig;

/* Read an armored signature as ssh-keygen -Y sign writes it: the two marker lines, base64 lines of at most 76
 * characters between, each line ending with LF (the last may lack it), nothing else.
 * armor: any bytes are safe to pass; at most LH_LIMIT_SIGNATURE.
 * raw:   takes the decoded bytes, from which *ret borrows: it must outlive *ret and not change.
 * Errors: LH_E_INVALID with reason "sshsig" (malformed), LH_E_UNSUPPORTED with reason "sshsig-version",
 * "sshsig-hash"; LH_E_LIMIT, LH_E_NOMEM. */
LH_MUST lh_err lh_sshsig_parse(lh_bytes armor, lh_buf *raw, lh_sshsig *ret);

/* Append what the signer's key signed: "SSHSIG" ‖ namespace ‖ reserved (empty) ‖ hash name ‖ H(message).
 * message_hash: 32 bytes of SHA-256 or 64 of SHA-512, as hash says; LH_E_INVALID otherwise. */
LH_MUST lh_err lh_sshsig_signed_data(
    const char *namespace, enum lh_sshsig_hash hash, lh_bytes message_hash, lh_buf *out);

typedef struct {
    char type[LH_SSH_KEY_TYPE_MAX + 1];
    lh_bytes blob; /* begins with the same type; more is not checked here */
    char comment[LH_LIMIT_NAME + 1];
} lh_pubkey_line;

/* Read "TYPE BASE64 [COMMENT]", one line, with or without LF at its end; no options before the type.
 * raw: as above. Control and invisible characters are refused; a comment that is too long is cut.
 * Errors: LH_E_INVALID with reason "pubkey-line"; LH_E_LIMIT, LH_E_NOMEM. */
LH_MUST lh_err lh_pubkey_line_parse(lh_bytes line, lh_buf *raw, lh_pubkey_line *ret);

/* The type that a public key blob names. LH_E_INVALID with reason "pubkey-line". */
LH_MUST lh_err lh_pubkey_blob_type(lh_bytes blob, char out[LH_SSH_KEY_TYPE_MAX + 1]);

/* Append "TYPE BASE64" for a blob; the same error. */
LH_MUST lh_err lh_pubkey_format(lh_bytes blob, lh_buf *out);

#endif
