/* Trees against roots and proofs computed by an independent Python program that follows RFC 9162's recursive
 * definitions word for word (hashlib; MTH, PATH and SUBPROOF over lists), embedded here as constants. */
#include "merkle/tree.h"

#include "crypto/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static lh_crypto *crypto;

static int setup(void **state)
{
    (void)state;
    return lh_ok(lh_crypto_new(&crypto)) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    lh_crypto_free(crypto);
    return 0;
}

static void assert_hex(const uint8_t hash[32], const char *want)
{
    char hex[65];
    lh_hex(hash, 32, hex);
    assert_string_equal(hex, want);
}

/* The tree whose leaf i is the 4 bytes of i, big-endian. */
static lh_merkle_tree *numbered(uint32_t n)
{
    lh_merkle_tree *tree = NULL;
    assert_int_equal(lh_merkle_tree_new(crypto, &tree).code, LH_OK);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t entry[4] = {(uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        uint8_t leaf[32];
        assert_int_equal(lh_merkle_leaf(crypto, &LH_BYTES(entry, 4), 1, leaf).code, LH_OK);
        assert_int_equal(lh_merkle_tree_append(tree, leaf).code, LH_OK);
    }
    assert_int_equal(lh_merkle_tree_size(tree), n);
    return tree;
}

/* The eight inputs that Certificate Transparency's implementations test with. */
static void known_roots(void **state)
{
    (void)state;
    static const char *const inputs[] = {
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"};
    static const char *const roots[] = {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
    LH_AUTO(lh_merkle_tree_freep) lh_merkle_tree *tree = NULL;
    assert_int_equal(lh_merkle_tree_new(crypto, &tree).code, LH_OK);
    uint8_t root[32];
    assert_int_equal(lh_merkle_tree_root(tree, 0, root).code, LH_OK);
    assert_hex(root, roots[0]);
    for (size_t i = 0; i < LH_ARRAY_LEN(inputs); i++) {
        uint8_t input[16];
        size_t len = strlen(inputs[i]) / 2;
        assert_int_equal(lh_unhex(inputs[i], input, len).code, LH_OK);
        /* In two parts, to see them joined. */
        const lh_bytes parts[] = {LH_BYTES(input, len / 2), LH_BYTES(input + len / 2, len - len / 2)};
        uint8_t leaf[32];
        assert_int_equal(lh_merkle_leaf(crypto, parts, 2, leaf).code, LH_OK);
        assert_int_equal(lh_merkle_tree_append(tree, leaf).code, LH_OK);
        uint8_t stored[32];
        assert_int_equal(lh_merkle_tree_leaf(tree, i, stored).code, LH_OK);
        assert_memory_equal(stored, leaf, 32);
    }
    for (uint64_t n = 0; n < LH_ARRAY_LEN(roots); n++) {
        assert_int_equal(lh_merkle_tree_root(tree, n, root).code, LH_OK);
        assert_hex(root, roots[n]);
    }
}

static void numbered_roots(void **state)
{
    (void)state;
    static const struct {
        uint64_t size;
        const char *root;
    } cases[] = {
        {1, "8855508aade16ec573d21e6a485dfd0a7624085c1a14b5ecdd6485de0c6839a4"},
        {2, "50746ee02c3fda32e421ddc1bbf3f20b50ce18738d48709cb6d0ad13f2bdabb7"},
        {3, "e4b0b8adadc95bb54949a5993c44797855d5acc2f863aab6435b74799e4c3484"},
        {7, "d62b43d7342d2e73a4a8910565cffb0dd6c07f65f9b8647417ad8d5c86bed8d8"},
        {8, "de1179c92dc98db5358961ded727f4b71474a71aa3e4053cf9e266d24cfb754a"},
        {100, "740488a3c43c052bfb21dd92199095914175ef355679e09a446f569db63e3f5b"},
        {255, "58f204dcc06ebcf29082c362701341df88ec3d5f338036c72a98894aaf69059d"},
        {256, "78cd7db3bbfa785ffefa21e1c0aa7d4806c6e22ad65472710377ecb7e5a5a54e"},
        {257, "086ce24d72dd8347eef9afbf95829379f67cee8f5d23cece828a2dae88729c8d"},
        {300, "7cb38a3a7211231d902f423fcd3f43cf9ac6da0aa1f31de0876c9927451ee3c5"},
    };
    LH_AUTO(lh_merkle_tree_freep) lh_merkle_tree *tree = numbered(300);
    uint8_t root[32];
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        assert_int_equal(lh_merkle_tree_root(tree, cases[i].size, root).code, LH_OK);
        assert_hex(root, cases[i].root);
    }
    /* Cutting and growing again comes to the same tree. */
    for (uint64_t cut = 0; cut < 300; cut += 23) {
        LH_AUTO(lh_merkle_tree_freep) lh_merkle_tree *again = numbered(300);
        assert_int_equal(lh_merkle_tree_truncate(again, cut).code, LH_OK);
        assert_int_equal(lh_merkle_tree_size(again), cut);
        assert_int_equal(lh_merkle_tree_root(again, cut + 1, root).code, LH_E_INVALID);
        for (uint64_t i = cut; i < 300; i++) {
            uint8_t leaf[32];
            assert_int_equal(lh_merkle_tree_leaf(tree, i, leaf).code, LH_OK);
            assert_int_equal(lh_merkle_tree_append(again, leaf).code, LH_OK);
        }
        assert_int_equal(lh_merkle_tree_root(again, 300, root).code, LH_OK);
        assert_hex(root, cases[LH_ARRAY_LEN(cases) - 1].root);
    }
}

/* Fold a proof into a running hash: H(acc ‖ all hashes of the proof), as the Python program does. */
static void fold(uint8_t acc[32], size_t *acc_len, const lh_merkle_proof *proof)
{
    const lh_bytes parts[] = {LH_BYTES(acc, *acc_len), LH_BYTES(proof->hash, proof->count * 32)};
    assert_int_equal(lh_sha256(crypto, parts, 2, acc).code, LH_OK);
    *acc_len = 32;
}

static void inclusion(void **state)
{
    (void)state;
    LH_AUTO(lh_merkle_tree_freep) lh_merkle_tree *tree = numbered(64);
    uint8_t acc[32];
    size_t acc_len = 0;
    for (uint64_t size = 1; size <= 64; size++) {
        uint8_t root[32];
        assert_int_equal(lh_merkle_tree_root(tree, size, root).code, LH_OK);
        for (uint64_t i = 0; i < size; i++) {
            lh_merkle_proof proof;
            uint8_t leaf[32];
            assert_int_equal(lh_merkle_tree_inclusion(tree, i, size, &proof).code, LH_OK);
            assert_int_equal(lh_merkle_tree_leaf(tree, i, leaf).code, LH_OK);
            assert_int_equal(lh_merkle_verify_inclusion(crypto, leaf, i, size, &proof, root).code, LH_OK);
            fold(acc, &acc_len, &proof);
        }
    }
    assert_hex(acc, "43028ce56f562a594309d8a04cc9f1332b7a9b645d3e556bbeabc2b4da6a3516");
    lh_merkle_proof proof;
    assert_int_equal(lh_merkle_tree_inclusion(tree, 64, 64, &proof).code, LH_E_INVALID);
    assert_int_equal(lh_merkle_tree_inclusion(tree, 0, 65, &proof).code, LH_E_INVALID);
}

static void inclusion_refused(void **state)
{
    (void)state;
    LH_AUTO(lh_merkle_tree_freep) lh_merkle_tree *tree = numbered(23);
    uint8_t root[32];
    assert_int_equal(lh_merkle_tree_root(tree, 23, root).code, LH_OK);
    for (uint64_t i = 0; i < 23; i++) {
        lh_merkle_proof proof;
        uint8_t leaf[32];
        assert_int_equal(lh_merkle_tree_inclusion(tree, i, 23, &proof).code, LH_OK);
        assert_int_equal(lh_merkle_tree_leaf(tree, i, leaf).code, LH_OK);
        for (uint64_t other = 0; other < 24; other++)
            if (other != i)
                assert_int_equal(
                    lh_merkle_verify_inclusion(crypto, leaf, other, 23, &proof, root).code, LH_E_CORRUPT);
        for (size_t h = 0; h < proof.count; h++) {
            proof.hash[h][h] ^= 1;
            assert_int_equal(
                lh_merkle_verify_inclusion(crypto, leaf, i, 23, &proof, root).code, LH_E_CORRUPT);
            assert_string_equal(lh_err_last()->reason, "merkle-proof");
            proof.hash[h][h] ^= 1;
        }
        proof.count--;
        assert_int_equal(lh_merkle_verify_inclusion(crypto, leaf, i, 23, &proof, root).code, LH_E_CORRUPT);
        proof.count += 2;
        assert_int_equal(lh_merkle_verify_inclusion(crypto, leaf, i, 23, &proof, root).code, LH_E_CORRUPT);
        proof.count = LH_MERKLE_PROOF_MAX + 1;
        assert_int_equal(lh_merkle_verify_inclusion(crypto, leaf, i, 23, &proof, root).code, LH_E_CORRUPT);
        proof.count = SIZE_MAX;
        assert_int_equal(
            lh_merkle_verify_inclusion(crypto, leaf, i, UINT64_MAX, &proof, root).code, LH_E_CORRUPT);
    }
    /* A tree of one leaf has an empty proof, and its root is the leaf. */
    lh_merkle_proof empty = {.count = 0};
    assert_int_equal(lh_merkle_verify_inclusion(crypto, root, 0, 1, &empty, root).code, LH_OK);
    assert_int_equal(lh_merkle_verify_inclusion(crypto, root, 0, 0, &empty, root).code, LH_E_CORRUPT);
}

static lh_merkle_head head(const lh_merkle_tree *tree, uint64_t size)
{
    lh_merkle_head h = {.size = size};
    assert_int_equal(lh_merkle_tree_root(tree, size, h.root).code, LH_OK);
    return h;
}

static void consistency(void **state)
{
    (void)state;
    LH_AUTO(lh_merkle_tree_freep) lh_merkle_tree *tree = numbered(64);
    uint8_t acc[32];
    size_t acc_len = 0;
    lh_merkle_proof proof;
    for (uint64_t size = 1; size <= 64; size++) {
        lh_merkle_head now = head(tree, size);
        for (uint64_t old = 1; old <= size; old++) {
            lh_merkle_head then = head(tree, old);
            assert_int_equal(lh_merkle_tree_consistency(tree, old, size, &proof).code, LH_OK);
            assert_int_equal(lh_merkle_verify_consistency(crypto, &then, &now, &proof).code, LH_OK);
            fold(acc, &acc_len, &proof);
        }
    }
    assert_hex(acc, "695558e8a71f58c18262c1c212e11b2ad508665f5480f20ed73bea07c7c3f17c");
    assert_int_equal(lh_merkle_tree_consistency(tree, 0, 5, &proof).code, LH_E_INVALID);
    assert_int_equal(lh_merkle_tree_consistency(tree, 6, 5, &proof).code, LH_E_INVALID);
    assert_int_equal(lh_merkle_tree_consistency(tree, 6, 65, &proof).code, LH_E_INVALID);
}

static void consistency_refused(void **state)
{
    (void)state;
    LH_AUTO(lh_merkle_tree_freep) lh_merkle_tree *tree = numbered(40);
    lh_merkle_head now = head(tree, 40);
    for (uint64_t old = 1; old < 40; old++) {
        lh_merkle_proof proof;
        lh_merkle_head then = head(tree, old);
        assert_int_equal(lh_merkle_tree_consistency(tree, old, 40, &proof).code, LH_OK);
        for (size_t h = 0; h < proof.count; h++) {
            proof.hash[h][31] ^= 0x80;
            assert_int_equal(lh_merkle_verify_consistency(crypto, &then, &now, &proof).code, LH_E_CORRUPT);
            proof.hash[h][31] ^= 0x80;
        }
        lh_merkle_head forged = then;
        forged.root[0] ^= 1;
        assert_int_equal(lh_merkle_verify_consistency(crypto, &forged, &now, &proof).code, LH_E_CORRUPT);
        forged = now;
        forged.root[0] ^= 1;
        assert_int_equal(lh_merkle_verify_consistency(crypto, &then, &forged, &proof).code, LH_E_CORRUPT);
        assert_int_equal(lh_merkle_verify_consistency(crypto, &now, &then, &proof).code, LH_E_CORRUPT);
        then.size++;
        assert_int_equal(lh_merkle_verify_consistency(crypto, &then, &now, &proof).code, LH_E_CORRUPT);
        then.size--;
        proof.count--;
        assert_int_equal(lh_merkle_verify_consistency(crypto, &then, &now, &proof).code, LH_E_CORRUPT);
        proof.count = 0;
        assert_int_equal(lh_merkle_verify_consistency(crypto, &then, &now, &proof).code, LH_E_CORRUPT);
        proof.count = LH_MERKLE_PROOF_MAX + 1;
        assert_int_equal(lh_merkle_verify_consistency(crypto, &then, &now, &proof).code, LH_E_CORRUPT);
    }
}

static void consistency_of_nothing_and_itself(void **state)
{
    (void)state;
    LH_AUTO(lh_merkle_tree_freep) lh_merkle_tree *tree = numbered(5);
    lh_merkle_head none = head(tree, 0);
    lh_merkle_head now = head(tree, 5);
    lh_merkle_proof proof = {.count = 0};
    assert_int_equal(lh_merkle_verify_consistency(crypto, &none, &now, &proof).code, LH_OK);
    assert_int_equal(lh_merkle_verify_consistency(crypto, &none, &none, &proof).code, LH_OK);
    assert_int_equal(lh_merkle_verify_consistency(crypto, &now, &now, &proof).code, LH_OK);
    lh_merkle_head other = now;
    other.root[5] ^= 1;
    assert_int_equal(lh_merkle_verify_consistency(crypto, &now, &other, &proof).code, LH_E_CORRUPT);
    none.root[0] ^= 1;
    assert_int_equal(lh_merkle_verify_consistency(crypto, &none, &now, &proof).code, LH_E_CORRUPT);
    none.root[0] ^= 1;
    proof.count = 1;
    assert_int_equal(lh_merkle_verify_consistency(crypto, &none, &now, &proof).code, LH_E_CORRUPT);
    assert_int_equal(lh_merkle_verify_consistency(crypto, &now, &now, &proof).code, LH_E_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_roots),
        cmocka_unit_test(numbered_roots),
        cmocka_unit_test(inclusion),
        cmocka_unit_test(inclusion_refused),
        cmocka_unit_test(consistency),
        cmocka_unit_test(consistency_refused),
        cmocka_unit_test(consistency_of_nothing_and_itself),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
