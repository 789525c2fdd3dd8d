/* Evidence that is one leaf of many: what its proof does not stretch to. */
#include "fixture.h"

/* A quote over n leaves with numbers from first on; each leaf's evidence, for the caller to deinit. */
typedef struct {
    lh_evidence e;
    atomic_int answers;
} kept;

static void keep(void *arg, lh_err err, const lh_evidence *e)
{
    kept *k = arg;
    assert_int_equal(err.code, LH_OK);
    lh_buf encoded = LH_BUF_INIT(LH_EVIDENCE_SIZE_MAX);
    lh_evidence_init(&k->e);
    assert_lh_ok(lh_evidence_encode(e, &encoded));
    assert_lh_ok(lh_evidence_decode(lh_buf_bytes(&encoded), &k->e));
    lh_buf_free(&encoded);
    atomic_fetch_add(&k->answers, 1);
}

static void batch(fixture *f, uint32_t first, uint32_t n, kept *ret)
{
    asked occupant;
    occupy(f, &occupant);
    for (uint32_t i = 0; i < n; i++) {
        const lh_evidence_leaf leaf = leaf_of(first + i);
        atomic_store(&ret[i].answers, 0);
        assert_lh_ok(lh_attester_submit(f->attester, MASK, &leaf, keep, &ret[i]));
    }
    release(f);
    for (uint32_t i = 0; i < n; i++)
        for (int k = 0; k < 5000 && atomic_load(&ret[i].answers) == 0; k++)
            swtpm_sleep_ms(2);
    wait_answers(&occupant, 1);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(ret[i].e.leaf_count, n);
        const lh_evidence_leaf leaf = leaf_of(first + i);
        assert_lh_ok(verify(f, MASK, &leaf, &ret[i].e));
    }
}

static void batch_clear(kept *k, size_t n)
{
    for (size_t i = 0; i < n; i++)
        lh_evidence_deinit(&k[i].e);
}

static void copy_proof(lh_evidence *to, const lh_evidence *from)
{
    to->proof = from->proof;
    to->leaf_index = from->leaf_index;
    to->leaf_count = from->leaf_count;
}

/* A tree of two leaves in place of four: its leaves would be what are inner nodes of the true one. Their
 * hashes differ by their prefix, and the count is under the signature. */
static void test_inner_node_as_leaf(void **state)
{
    fixture *f = *state;
    kept k[4];
    batch(f, 0, 4, k);
    lh_evidence *e = &k[0].e;
    const lh_evidence_leaf own = leaf_of(0);
    assert_int_equal(e->proof.count, 2);
    /* The proof shortened by its lowest step: the "leaf" would be the node above leaves 0 and 1. */
    lh_merkle_proof whole = e->proof;
    memcpy(e->proof.hash[0], whole.hash[1], 32);
    e->proof.count = 1;
    assert_lh_refused(verify(f, MASK, &own, e), LH_E_ATTESTATION, "evidence-proof");
    e->leaf_count = 2;
    assert_lh_refused(verify(f, MASK, &own, e), LH_E_ATTESTATION, "evidence-qualifying");
    /* The node's own input as a leaf input: 64 bytes of hashes within the 128. */
    uint8_t left[32];
    assert_lh_ok(lh_evidence_leaf_hash(f->crypto, &own, left));
    memcpy(e->leaf.nonce, left, 32);
    memcpy(e->leaf.facts, whole.hash[0], 32);
    memset(e->leaf.channel, 0, 32);
    memset(e->leaf.ephemeral, 0, 32);
    lh_evidence_leaf node = e->leaf;
    assert_lh_refused(verify(f, MASK, &node, e), LH_E_ATTESTATION, "evidence-qualifying");
    e->leaf_count = 4;
    assert_lh_refused(verify(f, MASK, &node, e), LH_E_ATTESTATION, "evidence-proof");
    batch_clear(k, 4);
}

/* Whatever n is said to be, it is another qualifying data than what was quoted, or another shape of proof. */
static void test_altered_n(void **state)
{
    fixture *f = *state;
    kept k[5];
    batch(f, 0, 5, k);
    for (uint32_t i = 0; i < 5; i++) {
        const lh_evidence_leaf leaf = leaf_of(i);
        for (uint32_t n = 0; n <= 17; n++) {
            if (n == 5)
                continue;
            k[i].e.leaf_count = n;
            lh_err err = verify(f, MASK, &leaf, &k[i].e);
            assert_int_equal(err.code, LH_E_ATTESTATION);
            bool shape = strcmp(lh_err_last()->reason, "evidence-proof") == 0;
            assert_true(shape || strcmp(lh_err_last()->reason, "evidence-qualifying") == 0);
        }
        /* Five leaves and six have the same proof for the first: only the signed n tells them apart. */
        k[i].e.leaf_count = 6;
        if (i < 4)
            assert_lh_refused(verify(f, MASK, &leaf, &k[i].e), LH_E_ATTESTATION, "evidence-qualifying");
    }
    batch_clear(k, 5);
}

static void test_proof_of_an_older_quote(void **state)
{
    fixture *f = *state;
    kept old[4], fresh[4];
    batch(f, 0, 4, old);
    batch(f, 100, 4, fresh);
    /* The old leaf with its true proof, under the newer quote. */
    const lh_evidence_leaf leaf = leaf_of(1);
    lh_evidence *e = &fresh[1].e;
    const lh_evidence_leaf fresh_leaf = e->leaf;
    const lh_merkle_proof fresh_proof = e->proof;
    e->leaf = leaf;
    copy_proof(e, &old[1].e);
    assert_lh_refused(verify(f, MASK, &leaf, e), LH_E_ATTESTATION, "evidence-qualifying");
    /* The newer leaf under the old proof. */
    e->leaf = fresh_leaf;
    assert_lh_refused(verify(f, MASK, &fresh_leaf, e), LH_E_ATTESTATION, "evidence-qualifying");
    e->proof = fresh_proof;
    assert_lh_ok(verify(f, MASK, &fresh_leaf, e));
    /* The whole older evidence where a newer nonce was given. */
    assert_lh_refused(verify(f, MASK, &fresh_leaf, &old[1].e), LH_E_ATTESTATION, "evidence-nonce");
    batch_clear(old, 4);
    batch_clear(fresh, 4);
}

/* Two requests of one batch: neither's evidence is the other's. */
static void test_leaf_of_a_neighbour(void **state)
{
    fixture *f = *state;
    kept k[3];
    batch(f, 0, 3, k);
    const lh_evidence_leaf own = leaf_of(0);
    assert_lh_refused(verify(f, MASK, &own, &k[1].e), LH_E_ATTESTATION, "evidence-nonce");
    k[1].e.leaf = own;
    assert_lh_refused(verify(f, MASK, &own, &k[1].e), LH_E_ATTESTATION, "evidence-qualifying");
    batch_clear(k, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_inner_node_as_leaf, setup, teardown),
        cmocka_unit_test_setup_teardown(test_altered_n, setup, teardown),
        cmocka_unit_test_setup_teardown(test_proof_of_an_older_quote, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leaf_of_a_neighbour, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
