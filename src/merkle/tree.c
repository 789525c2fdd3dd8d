/* RFC 9162 section 2.1 trees.
 * Invariants:
 *   1. level[k].count == size >> k, and level[k].hash[i] is the hash of the whole subtree over leaves
 *      [i << k, (i + 1) << k).
 *   2. A range [start, start + count) whose start is a multiple of the smallest power of two that is not
 * below count is hashed from these alone; every range of the RFC's recursions is such a range. */
#include "merkle/tree.h"

#include "base/macro.h"
#include "crypto/hash.h"

#define LEVELS 41 /* the lowest 40 bits of a size, and the level of LH_MERKLE_LEAVES_MAX itself */

typedef struct {
    uint8_t (*hash)[LH_MERKLE_HASH_SIZE];
    uint64_t count;
    uint64_t cap;
} level;

struct lh_merkle_tree {
    lh_crypto *crypto;
    uint64_t size;
    level level[LEVELS];
};

lh_err lh_merkle_leaf(lh_crypto *c, const lh_bytes *parts, size_t n, uint8_t out[LH_MERKLE_HASH_SIZE])
{
    LH_AUTO(lh_sha256_ctx_freep) lh_sha256_ctx *ctx = NULL;
    LH_TRY(lh_sha256_ctx_new(c, &ctx));
    static const uint8_t prefix = 0x00;
    LH_TRY(lh_sha256_ctx_update(ctx, LH_BYTES(&prefix, 1)));
    for (size_t i = 0; i < n; i++)
        LH_TRY(lh_sha256_ctx_update(ctx, parts[i]));
    return lh_sha256_ctx_final(ctx, out);
}

lh_err lh_merkle_node(lh_crypto *c, const uint8_t left[LH_MERKLE_HASH_SIZE],
    const uint8_t right[LH_MERKLE_HASH_SIZE], uint8_t out[LH_MERKLE_HASH_SIZE])
{
    static const uint8_t prefix = 0x01;
    const lh_bytes parts[] = {
        LH_BYTES(&prefix, 1), LH_BYTES(left, LH_MERKLE_HASH_SIZE), LH_BYTES(right, LH_MERKLE_HASH_SIZE)};
    return lh_sha256(c, parts, LH_ARRAY_LEN(parts), out);
}

lh_err lh_merkle_tree_new(lh_crypto *c, lh_merkle_tree **ret)
{
    lh_merkle_tree *tree = calloc(1, sizeof(*tree));
    if (!tree)
        return LH_RAISE(LH_E_NOMEM, 0);
    tree->crypto = c;
    *ret = tree;
    return LH_SUCCESS;
}

void lh_merkle_tree_free(lh_merkle_tree *tree)
{
    if (!tree)
        return;
    for (size_t i = 0; i < LEVELS; i++)
        free(tree->level[i].hash);
    free(tree);
}

uint64_t lh_merkle_tree_size(const lh_merkle_tree *tree)
{
    return tree->size;
}

static lh_err level_push(level *l, const uint8_t hash[LH_MERKLE_HASH_SIZE])
{
    if (l->count == l->cap) {
        uint64_t cap = l->cap ? l->cap * 2 : 64;
        void *grown = reallocarray(l->hash, cap, LH_MERKLE_HASH_SIZE);
        if (!grown)
            return LH_RAISE(LH_E_NOMEM, 0);
        l->hash = grown;
        l->cap = cap;
    }
    memcpy(l->hash[l->count++], hash, LH_MERKLE_HASH_SIZE);
    return LH_SUCCESS;
}

static void set_size(lh_merkle_tree *tree, uint64_t size)
{
    tree->size = size;
    for (size_t k = 0; k < LEVELS; k++)
        tree->level[k].count = size >> k;
}

static lh_err append(lh_merkle_tree *tree, const uint8_t leaf[LH_MERKLE_HASH_SIZE])
{
    uint8_t hash[LH_MERKLE_HASH_SIZE];
    memcpy(hash, leaf, sizeof(hash));
    LH_TRY(level_push(&tree->level[0], hash));
    /* Each level that the new leaf completes by its second child gives one hash to the level above. */
    for (size_t k = 0; k + 1 < LEVELS && tree->level[k].count % 2 == 0; k++) {
        const level *l = &tree->level[k];
        LH_TRY(lh_merkle_node(tree->crypto, l->hash[l->count - 2], l->hash[l->count - 1], hash));
        LH_TRY(level_push(&tree->level[k + 1], hash));
    }
    return LH_SUCCESS;
}

lh_err lh_merkle_tree_append(lh_merkle_tree *tree, const uint8_t leaf[LH_MERKLE_HASH_SIZE])
{
    if (tree->size >= LH_MERKLE_LEAVES_MAX)
        return LH_FAIL(LH_E_LIMIT, "the tree is full");
    lh_err err = append(tree, leaf);
    set_size(tree, lh_ok(err) ? tree->size + 1 : tree->size);
    return err;
}

lh_err lh_merkle_tree_truncate(lh_merkle_tree *tree, uint64_t size)
{
    if (size > tree->size)
        return LH_FAIL(LH_E_INVALID, "a tree of %llu leaves cannot be cut to %llu",
            (unsigned long long)tree->size, (unsigned long long)size);
    set_size(tree, size);
    return LH_SUCCESS;
}

lh_err lh_merkle_tree_leaf(const lh_merkle_tree *tree, uint64_t index, uint8_t out[LH_MERKLE_HASH_SIZE])
{
    if (index >= tree->size)
        return LH_FAIL(LH_E_INVALID, "there is no leaf %llu", (unsigned long long)index);
    memcpy(out, tree->level[0].hash[index], LH_MERKLE_HASH_SIZE);
    return LH_SUCCESS;
}

/* The hash of the range of count >= 1 leaves from start on, for ranges of invariant 2: whole subtrees from
 * the largest to the smallest, joined from the right. */
static lh_err range_hash(
    const lh_merkle_tree *tree, uint64_t start, uint64_t count, uint8_t out[LH_MERKLE_HASH_SIZE])
{
    const uint8_t *parts[LEVELS];
    size_t n = 0;
    for (size_t k = LEVELS; k-- > 0;) {
        if ((count >> k & 1) == 0)
            continue;
        parts[n++] = tree->level[k].hash[start >> k];
        start += (uint64_t)1 << k;
    }
    uint8_t hash[LH_MERKLE_HASH_SIZE];
    memcpy(hash, parts[n - 1], sizeof(hash));
    for (size_t i = n - 1; i-- > 0;)
        LH_TRY(lh_merkle_node(tree->crypto, parts[i], hash, hash));
    memcpy(out, hash, sizeof(hash));
    return LH_SUCCESS;
}

lh_err lh_merkle_tree_root(const lh_merkle_tree *tree, uint64_t size, uint8_t out[LH_MERKLE_HASH_SIZE])
{
    if (size > tree->size)
        return LH_FAIL(LH_E_INVALID, "the tree has %llu leaves, not %llu", (unsigned long long)tree->size,
            (unsigned long long)size);
    if (size == 0)
        return lh_sha256(tree->crypto, NULL, 0, out);
    return range_hash(tree, 0, size, out);
}

/* The largest power of two below n; n >= 2. */
static uint64_t split(uint64_t n)
{
    return (uint64_t)1 << (63 - __builtin_clzll(n - 1));
}

/* Proofs are found from the root downwards and stand in the RFC's order from the leaf upwards. */
static void reverse(lh_merkle_proof *proof)
{
    for (size_t i = 0; i < proof->count / 2; i++) {
        uint8_t swap[LH_MERKLE_HASH_SIZE];
        uint8_t *a = proof->hash[i];
        uint8_t *b = proof->hash[proof->count - 1 - i];
        memcpy(swap, a, sizeof(swap));
        memcpy(a, b, sizeof(swap));
        memcpy(b, swap, sizeof(swap));
    }
}

static lh_err add_range(const lh_merkle_tree *tree, uint64_t start, uint64_t count, lh_merkle_proof *proof)
{
    if (proof->count >= LH_MERKLE_PROOF_MAX)
        return LH_RAISE(LH_E_INTERNAL, 0);
    LH_TRY(range_hash(tree, start, count, proof->hash[proof->count]));
    proof->count++;
    return LH_SUCCESS;
}

lh_err lh_merkle_tree_inclusion(
    const lh_merkle_tree *tree, uint64_t index, uint64_t size, lh_merkle_proof *ret)
{
    if (size > tree->size || index >= size)
        return LH_FAIL(
            LH_E_INVALID, "no leaf %llu among %llu", (unsigned long long)index, (unsigned long long)size);
    lh_merkle_proof proof = {.count = 0};
    uint64_t start = 0;
    for (uint64_t count = size; count > 1;) {
        uint64_t left = split(count);
        if (index - start < left) {
            LH_TRY(add_range(tree, start + left, count - left, &proof));
            count = left;
        } else {
            LH_TRY(add_range(tree, start, left, &proof));
            start += left;
            count -= left;
        }
    }
    reverse(&proof);
    *ret = proof;
    return LH_SUCCESS;
}

lh_err lh_merkle_tree_consistency(
    const lh_merkle_tree *tree, uint64_t old_size, uint64_t new_size, lh_merkle_proof *ret)
{
    if (old_size == 0 || old_size > new_size || new_size > tree->size)
        return LH_FAIL(LH_E_INVALID, "no proof from %llu to %llu leaves", (unsigned long long)old_size,
            (unsigned long long)new_size);
    lh_merkle_proof proof = {.count = 0};
    uint64_t start = 0;
    uint64_t count = new_size;
    while (start + count != old_size) {
        uint64_t left = split(count);
        if (old_size - start <= left) {
            LH_TRY(add_range(tree, start + left, count - left, &proof));
            count = left;
        } else {
            LH_TRY(add_range(tree, start, left, &proof));
            start += left;
            count -= left;
        }
    }
    /* The old root itself is known to who verifies; a part of it is not. */
    if (start > 0)
        LH_TRY(add_range(tree, start, count, &proof));
    reverse(&proof);
    *ret = proof;
    return LH_SUCCESS;
}

static lh_err refuse_proof(void)
{
    return LH_REFUSE(LH_E_CORRUPT, "merkle-proof", "the proof does not lead to the root");
}

/* RFC 9162 section 2.1.3.2. */
lh_err lh_merkle_verify_inclusion(lh_crypto *c, const uint8_t leaf[LH_MERKLE_HASH_SIZE], uint64_t index,
    uint64_t size, const lh_merkle_proof *proof, const uint8_t root[LH_MERKLE_HASH_SIZE])
{
    if (index >= size || proof->count > LH_MERKLE_PROOF_MAX)
        return refuse_proof();
    uint64_t fn = index;
    uint64_t sn = size - 1;
    uint8_t r[LH_MERKLE_HASH_SIZE];
    memcpy(r, leaf, sizeof(r));
    for (size_t i = 0; i < proof->count; i++) {
        if (sn == 0)
            return refuse_proof();
        if ((fn & 1) || fn == sn) {
            LH_TRY(lh_merkle_node(c, proof->hash[i], r, r));
            while (!(fn & 1) && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            LH_TRY(lh_merkle_node(c, r, proof->hash[i], r));
        }
        fn >>= 1;
        sn >>= 1;
    }
    if (sn != 0 || memcmp(r, root, sizeof(r)) != 0)
        return refuse_proof();
    return LH_SUCCESS;
}

/* Sizes 0 and equal sizes: nothing is proved by hashes. ret_done tells whether that settled it. */
static lh_err verify_trivial(lh_crypto *c, const lh_merkle_head *old_head, const lh_merkle_head *new_head,
    const lh_merkle_proof *proof, bool *ret_done)
{
    *ret_done = true;
    if (old_head->size > new_head->size || proof->count > LH_MERKLE_PROOF_MAX)
        return refuse_proof();
    uint8_t nothing[LH_MERKLE_HASH_SIZE];
    LH_TRY(lh_sha256(c, NULL, 0, nothing));
    if (old_head->size == 0 && memcmp(old_head->root, nothing, sizeof(nothing)) != 0)
        return refuse_proof();
    if (old_head->size == new_head->size) {
        bool same = proof->count == 0 && memcmp(old_head->root, new_head->root, sizeof(nothing)) == 0;
        return same ? LH_SUCCESS : refuse_proof();
    }
    if (old_head->size == 0)
        return proof->count == 0 ? LH_SUCCESS : refuse_proof();
    *ret_done = false;
    return LH_SUCCESS;
}

/* RFC 9162 section 2.1.4.2. */
lh_err lh_merkle_verify_consistency(lh_crypto *c, const lh_merkle_head *old_head,
    const lh_merkle_head *new_head, const lh_merkle_proof *proof)
{
    bool done = false;
    LH_TRY(verify_trivial(c, old_head, new_head, proof, &done));
    if (done)
        return LH_SUCCESS;
    uint64_t fn = old_head->size - 1;
    uint64_t sn = new_head->size - 1;
    for (; fn & 1; fn >>= 1)
        sn >>= 1;
    /* A whole old tree is the start of its own proof; otherwise the proof begins with a part of it. */
    bool whole = (old_head->size & (old_head->size - 1)) == 0;
    if (!whole && proof->count == 0)
        return refuse_proof();
    uint8_t fr[LH_MERKLE_HASH_SIZE];
    uint8_t sr[LH_MERKLE_HASH_SIZE];
    memcpy(fr, whole ? old_head->root : proof->hash[0], sizeof(fr));
    memcpy(sr, fr, sizeof(sr));
    for (size_t i = whole ? 0 : 1; i < proof->count; i++) {
        if (sn == 0)
            return refuse_proof();
        if ((fn & 1) || fn == sn) {
            LH_TRY(lh_merkle_node(c, proof->hash[i], fr, fr));
            LH_TRY(lh_merkle_node(c, proof->hash[i], sr, sr));
            while (!(fn & 1) && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            LH_TRY(lh_merkle_node(c, sr, proof->hash[i], sr));
        }
        fn >>= 1;
        sn >>= 1;
    }
    if (sn != 0 || memcmp(fr, old_head->root, sizeof(fr)) != 0 || memcmp(sr, new_head->root, sizeof(sr)) != 0)
        return refuse_proof();
    return LH_SUCCESS;
}
