/* Merkle trees: RFC 9162 section 2.1 with SHA-256. Pure: no I/O, no knowledge of what the leaves are.
 * Errors: LH_E_INVALID (sizes and indexes out of range), LH_E_CORRUPT (reason "merkle-proof": a proof does
 * not lead to the root), LH_E_NOMEM, LH_E_LIMIT; LH_E_CRYPTO is a fault. */
#ifndef LH_MERKLE_TREE_H
#define LH_MERKLE_TREE_H

#include "crypto/crypto.h"

#define LH_MERKLE_HASH_SIZE 32
#define LH_MERKLE_PROOF_MAX 65                   /* hashes in a proof */
#define LH_MERKLE_LEAVES_MAX ((uint64_t)1 << 40) /* leaves of a tree in memory */

/* SHA-256(0x00 ‖ input), input joined from parts. */
LH_MUST lh_err lh_merkle_leaf(
    lh_crypto *c, const lh_bytes *parts, size_t n, uint8_t out[LH_MERKLE_HASH_SIZE]);
/* SHA-256(0x01 ‖ left ‖ right). out may be one of the inputs. */
LH_MUST lh_err lh_merkle_node(lh_crypto *c, const uint8_t left[LH_MERKLE_HASH_SIZE],
    const uint8_t right[LH_MERKLE_HASH_SIZE], uint8_t out[LH_MERKLE_HASH_SIZE]);

/* A tree that grows at its end, with the hashes of all whole subtrees (about 64 bytes a leaf). A root or a
 * proof at any size costs a logarithmic number of hashes.
 * Threads: the caller locks; reading calls may run at once with each other. Borrows c. */
typedef struct lh_merkle_tree lh_merkle_tree;

LH_MUST lh_err lh_merkle_tree_new(lh_crypto *c, lh_merkle_tree **ret);
void lh_merkle_tree_free(lh_merkle_tree *tree);
LH_DEFINE_FREEP(lh_merkle_tree, lh_merkle_tree_free)

uint64_t lh_merkle_tree_size(const lh_merkle_tree *tree);
/* leaf: a leaf hash (lh_merkle_leaf). The tree is unchanged on error. */
LH_MUST lh_err lh_merkle_tree_append(lh_merkle_tree *tree, const uint8_t leaf[LH_MERKLE_HASH_SIZE]);
/* Back to an earlier size. LH_E_INVALID where size is more than it has. */
LH_MUST lh_err lh_merkle_tree_truncate(lh_merkle_tree *tree, uint64_t size);
LH_MUST lh_err lh_merkle_tree_leaf(
    const lh_merkle_tree *tree, uint64_t index, uint8_t out[LH_MERKLE_HASH_SIZE]);
/* The root of the first size leaves; of none it is SHA-256 of nothing. */
LH_MUST lh_err lh_merkle_tree_root(
    const lh_merkle_tree *tree, uint64_t size, uint8_t out[LH_MERKLE_HASH_SIZE]);

typedef struct {
    size_t count;
    uint8_t hash[LH_MERKLE_PROOF_MAX][LH_MERKLE_HASH_SIZE];
} lh_merkle_proof;

/* That leaf index is in the tree of size leaves (RFC 9162 section 2.1.3); index < size. */
LH_MUST lh_err lh_merkle_tree_inclusion(
    const lh_merkle_tree *tree, uint64_t index, uint64_t size, lh_merkle_proof *ret);
/* That the tree of old_size leaves is the beginning of that of new_size (section 2.1.4);
 * 1 <= old_size <= new_size. */
LH_MUST lh_err lh_merkle_tree_consistency(
    const lh_merkle_tree *tree, uint64_t old_size, uint64_t new_size, lh_merkle_proof *ret);

/* Verify without a tree; any proof is safe to pass (count above LH_MERKLE_PROOF_MAX is refused). */
LH_MUST lh_err lh_merkle_verify_inclusion(lh_crypto *c, const uint8_t leaf[LH_MERKLE_HASH_SIZE],
    uint64_t index, uint64_t size, const lh_merkle_proof *proof, const uint8_t root[LH_MERKLE_HASH_SIZE]);

typedef struct {
    uint64_t size;
    uint8_t root[LH_MERKLE_HASH_SIZE];
} lh_merkle_head;

/* An old head of size 0 is consistent with everything (the proof must be empty, the root that of nothing). */
LH_MUST lh_err lh_merkle_verify_consistency(lh_crypto *c, const lh_merkle_head *old_head,
    const lh_merkle_head *new_head, const lh_merkle_proof *proof);

#endif
