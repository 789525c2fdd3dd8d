/* Checkpoints: the C2SP tlog-checkpoint, a signed note (c2sp.org/tlog-checkpoint, c2sp.org/signed-note).
 *
 *   origin\n size\n base64(root)\n [extension line\n …] \n — name base64(key id ‖ signature)\n …
 *
 * Ed25519 lines (type 0x01) sign the text; ECDSA P-256 lines (type 0x02) carry a DER signature over its
 * SHA-256, and their key id is the beginning of SHA-256 over the key's SubjectPublicKeyInfo. */
#ifndef LH_MERKLE_CHECKPOINT_H
#define LH_MERKLE_CHECKPOINT_H

#include "merkle/tree.h"

#define LH_CHECKPOINT_MAX 131072        /* bytes of a whole note: room for 16 post-quantum signatures */
#define LH_CHECKPOINT_ORIGIN_MAX 256    /* bytes of the origin, and of a key's name */
#define LH_CHECKPOINT_SIGNATURES_MAX 32 /* signature lines of a note */
#define LH_NOTE_SIGNATURE_MAX 5120      /* bytes of one line's signature, key id included */

enum lh_note_algorithm { LH_NOTE_ED25519 = 0x01, LH_NOTE_ECDSA_P256 = 0x02 };

typedef struct {
    const char *name; /* no spaces, no plus */
    enum lh_note_algorithm algorithm;
    lh_bytes public_key; /* 32 bytes, or 65 bytes 04 ‖ x ‖ y */
} lh_note_key;

typedef struct {
    lh_note_key key;
    /* input: the note's text for Ed25519, its 32-byte SHA-256 for ECDSA. out: R ‖ S, or r ‖ s. */
    lh_err (*sign)(void *arg, lh_bytes input, uint8_t out[64]);
    void *arg;
} lh_note_signer;

/* What a checkpoint says. Parsed ones borrow their spans from the note. */
typedef struct {
    lh_bytes origin;
    uint64_t size;
    uint8_t root[LH_MERKLE_HASH_SIZE];
    lh_bytes extension; /* further lines, each ended by a newline; empty where there are none */
} lh_checkpoint;

typedef struct {
    lh_bytes name;
    lh_bytes base64; /* as on the line: key id and signature */
} lh_note_signature;

typedef struct {
    lh_checkpoint checkpoint;
    lh_bytes text; /* what is signed: up to and with its last newline */
    size_t signature_count;
    lh_note_signature signatures[LH_CHECKPOINT_SIGNATURES_MAX];
} lh_checkpoint_note;

/* Append the note, signed by each of n (1 or more) signers in order. Each signature is verified before it is
 * given out. LH_E_INVALID (reason "checkpoint") where origin, extension or a key cannot stand in a note;
 * the signers' own errors. */
LH_MUST lh_err lh_checkpoint_build(
    lh_crypto *c, const lh_checkpoint *checkpoint, const lh_note_signer *signers, size_t n, lh_buf *ret_note);

/* Any bytes are safe to pass. LH_E_CORRUPT (reason "checkpoint") where it is not exactly of the form. Nothing
 * is verified. note must outlive *ret. */
LH_MUST lh_err lh_checkpoint_parse(lh_bytes note, lh_checkpoint_note *ret);

/* That key signed the note. LH_E_SIGNATURE with reason "checkpoint-unsigned" (there is no line of that key)
 * or "checkpoint-signature" (there is one that does not verify); LH_E_INVALID for a key that is none. */
LH_MUST lh_err lh_checkpoint_verify(lh_crypto *c, const lh_checkpoint_note *note, const lh_note_key *key);

LH_MUST lh_err lh_note_key_id(lh_crypto *c, const lh_note_key *key, uint8_t out[4]);
/* Append "name+hex id+base64(type ‖ key)": the form in which verifiers are configured. */
LH_MUST lh_err lh_note_key_text(lh_crypto *c, const lh_note_key *key, lh_buf *out);

#endif
