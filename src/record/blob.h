/* One record's bytes: format version 1 of docs/format.md.
 *
 *   u8 format ‖ u16 kind ‖ id[32] ‖ u64 version ‖ salt[16] ‖ nonce[12] ‖ u16 n ‖ n terms of 16 bytes
 *   ‖ AES-256-GCM ciphertext ‖ tag[16]
 *
 * The header is the associated data. Key = HKDF-SHA-256(ikm = record root key, salt = salt, info =
 * "leasehold-record-v1" ‖ u16 kind ‖ id ‖ u64 version): salt and nonce are fresh for each write, so a store
 * that was cloned or rolled back never uses a nonce twice under a key. */
#ifndef LH_RECORD_BLOB_H
#define LH_RECORD_BLOB_H

#include "base/limits.h"
#include "record/record.h"

#define LH_RECORD_FORMAT 1
#define LH_RECORD_SALT_SIZE 16
#define LH_RECORD_TERM_SIZE 16
#define LH_RECORD_HEADER_SIZE (1 + 2 + 32 + 8 + LH_RECORD_SALT_SIZE + 12 + 2) /* without terms */
#define LH_RECORD_BLOB_MAX                                                                                   \
    (LH_RECORD_HEADER_SIZE + LH_LIMIT_RECORD_TERMS * LH_RECORD_TERM_SIZE + LH_LIMIT_RECORD + 16)

/* Where a record's bytes stand, or say they do. */
typedef struct {
    enum lh_record_kind kind;
    lh_record_id id;
    uint64_t version;
} lh_record_place;

/* Append the blob of plain (at most LH_LIMIT_RECORD bytes, LH_E_LIMIT) to out. root: the record root key. */
LH_MUST lh_err lh_blob_seal(
    lh_crypto *crypto, const lh_secret *root, const lh_record_place *place, lh_bytes plain, lh_buf *out);
/* Append the plaintext of blob to ret_plain; any bytes are safe to pass. LH_E_CORRUPT (reason
 * "record-altered") where it does not authenticate, is of another kind, id or version than place, or is not
 * of the form; the message names the record. */
LH_MUST lh_err lh_blob_open(
    lh_crypto *crypto, const lh_secret *root, const lh_record_place *place, lh_bytes blob, lh_buf *ret_plain);
/* The version that a blob claims; 0 where it is too short. Not authenticated. */
uint64_t lh_blob_version(lh_bytes blob);

#endif
