/* A lease's proof, verified with the attestation key alone: each of its fields altered is refused for its own
 * reason. */
#include "fixture.h"

#include "crypto/hash.h"
#include "verify/proof.h"

#define FACTS "facts of a process"

typedef struct {
    fixture *f;
    lh_buf evidence;
    lh_evidence decoded;
    lh_proof proof;
    lh_proof_key key;
} proven;

static void prove(fixture *f, proven *p)
{
    lh_evidence_leaf leaf = leaf_of(1);
    const lh_bytes facts = LH_BYTES_STR(FACTS);
    assert_lh_ok(lh_sha256(f->crypto, &facts, 1, leaf.facts));
    *p = (proven){.f = f, .evidence = LH_BUF_INIT(LH_EVIDENCE_SIZE_MAX)};
    lh_evidence e;
    lh_evidence_init(&e);
    assert_lh_ok(lh_attester_quote(f->attester, MASK, &leaf, &e));
    assert_lh_ok(lh_evidence_encode(&e, &p->evidence));
    lh_evidence_deinit(&e);
    lh_evidence_init(&p->decoded);
    assert_lh_ok(lh_proof_describe(lh_buf_bytes(&p->evidence), facts, &p->decoded, &p->proof));
    p->key.public_area = lh_buf_bytes(&f->ak_public);
}

static void clear(proven *p)
{
    lh_buf_free(&p->evidence);
    lh_evidence_deinit(&p->decoded);
}

static lh_err check(const proven *p)
{
    lh_evidence_result result;
    return lh_proof_verify(p->f->crypto, &p->proof, &p->key, &result);
}

static void test_by_key_and_by_hash(void **state)
{
    proven p;
    prove(*state, &p);
    assert_lh_ok(check(&p));
    uint8_t hash[32];
    assert_lh_ok(lh_sha256(p.f->crypto, &p.key.public_area, 1, hash));
    p.key = (lh_proof_key){.sha256 = hash};
    assert_lh_ok(check(&p));
    hash[31] ^= 1;
    assert_lh_refused(check(&p), LH_E_ATTESTATION, "evidence-ak");
    p.key = (lh_proof_key){0};
    assert_int_equal(check(&p).code, LH_E_INVALID);
    clear(&p);
}

static void test_each_field(void **state)
{
    proven p;
    prove(*state, &p);
    const struct {
        void *at;
        const char *reason;
    } fields[] = {
        {&p.proof.nonce[31], "evidence-nonce"}, {&p.proof.channel[0], "evidence-channel"},
        {&p.proof.ephemeral[7], "evidence-ephemeral"}, {&p.proof.leaf_count, "proof-batch"},
        {&p.proof.leaf_index, "proof-batch"}, {&p.proof.pcr_mask, "proof-pcrs"},
        {&p.proof.pcrs[7][3], "proof-pcrs"}, {&p.proof.pcrs[3][0], "proof-pcrs"}, /* not among those quoted */
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(fields); i++) {
        *(uint8_t *)fields[i].at ^= 2;
        assert_lh_refused(check(&p), LH_E_ATTESTATION, fields[i].reason);
        *(uint8_t *)fields[i].at ^= 2;
    }
    p.proof.facts = LH_BYTES_STR("facts of a process!");
    assert_lh_refused(check(&p), LH_E_ATTESTATION, "evidence-facts");
    static const uint8_t long_facts[LH_PROOF_FACTS_MAX + 1];
    p.proof.facts = LH_BYTES(long_facts, sizeof(long_facts));
    assert_lh_refused(check(&p), LH_E_LIMIT, "proof-facts-size");
    p.proof.facts = LH_BYTES_STR(FACTS);
    assert_lh_ok(check(&p));
    clear(&p);
}

/* Every byte of the evidence counts. */
static void test_each_byte_of_evidence(void **state)
{
    proven p;
    prove(*state, &p);
    for (size_t i = 0; i < p.evidence.len; i++) {
        p.evidence.data[i] ^= 0x10;
        lh_err err = check(&p);
        assert_true(err.code == LH_E_ATTESTATION || err.code == LH_E_CORRUPT || err.code == LH_E_UNSUPPORTED);
        assert_int_not_equal(lh_err_last()->reason[0], 0);
        p.evidence.data[i] ^= 0x10;
    }
    assert_lh_ok(check(&p));
    clear(&p);
}

/* The key in the evidence is another than the proof says it is, and the other way round. */
static void test_another_key(void **state)
{
    proven p;
    prove(*state, &p);
    uint8_t other[LH_EVIDENCE_PART_MAX];
    memcpy(other, p.f->ak_public.data, p.f->ak_public.len);
    other[p.f->ak_public.len - 1] ^= 1;
    p.key.public_area = LH_BYTES(other, p.f->ak_public.len);
    assert_lh_refused(check(&p), LH_E_ATTESTATION, "evidence-ak");
    p.proof.ak_public = p.key.public_area; /* said by the proof as well: not by the evidence */
    assert_lh_refused(check(&p), LH_E_ATTESTATION, "evidence-ak");
    clear(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_by_key_and_by_hash, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_field, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_byte_of_evidence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_key, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
