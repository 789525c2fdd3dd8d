/* OpenSSH public keys and their signatures, verified only.
 * Types: ssh-ed25519, ecdsa-sha2-nistp256, ecdsa-sha2-nistp384, ssh-rsa (2048 to 8192 bits, odd exponent of
 * 65537 or more in 32 bits), sk-ssh-ed25519@openssh.com, sk-ecdsa-sha2-nistp256@openssh.com. Parsing is
 * strict: one encoding per key, nothing left over. Sources: RFC 4253 section 6.6, RFC 5656, RFC 8709, RFC
 * 8332, OpenSSH's PROTOCOL.u2f and PROTOCOL.sshsig. */
#ifndef LH_CRYPTO_SSH_H
#define LH_CRYPTO_SSH_H

#include "crypto/crypto.h"

#define LH_SSH_RSA_MIN_BITS 2048
#define LH_SSH_RSA_MAX_BITS 8192

/* Unchanging once made; any number of threads may use it at once. */
typedef struct lh_ssh_key lh_ssh_key;

/* blob: what stands in base64 in a public key line; any bytes are safe to pass.
 * LH_E_INVALID with reason "ssh-key" (malformed), "ssh-key-weak" (RSA out of bounds); LH_E_UNSUPPORTED with
 * reason "ssh-key-type". */
LH_MUST lh_err lh_ssh_key_parse(lh_crypto *c, lh_bytes blob, lh_ssh_key **ret);
void lh_ssh_key_free(lh_ssh_key *key);
LH_DEFINE_FREEP(lh_ssh_key, lh_ssh_key_free)

/* "ssh-ed25519" …; a static string. */
const char *lh_ssh_key_type(const lh_ssh_key *key);

/* signature: a signature blob (string algorithm ‖ string signature, and for security keys flags and counter);
 * any bytes are safe to pass. data: the bytes that were signed (of an SSHSIG: its to-be-signed structure).
 * RSA only as rsa-sha2-256 and rsa-sha2-512. Security keys must say that the user was present.
 * LH_E_SIGNATURE with reason "ssh-signature" (does not verify), "ssh-signature-format" (malformed),
 * "ssh-signature-algorithm" (not one for this key), "ssh-user-presence". */
LH_MUST lh_err lh_ssh_verify(lh_crypto *c, const lh_ssh_key *key, lh_bytes signature, lh_bytes data);

#endif
