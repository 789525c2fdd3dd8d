/* Evidence made by a real (software) TPM: accepted as it is, and each way of tampering refused for its own
 * reason. */
#include "../tpm_fixture.h"

#include "crypto/hash.h"
#include "verify/evidence.h"

#include <tss2/tss2_mu.h>

#define MASK 0x81u

enum key_kind {
    KEY_P256,
    KEY_RSASSA,
    KEY_RSAPSS,
    KEY_OWNER,
    KEY_SHA384,
    KEY_UNRESTRICTED,
    KEY_P384,
    KEY_P384_NAME
};

typedef struct {
    swtpm process;
    TSS2_TCTI_CONTEXT *tcti;
    ESYS_CONTEXT *esys;
    lh_crypto *crypto;
    ESYS_TR key;
    lh_evidence evidence;
    lh_evidence_expectation want;
    uint8_t allowed[2][2][32];
    lh_evidence_reference references[2];
} fixture;

static TPM2B_PUBLIC key_template(enum key_kind kind)
{
    TPM2B_PUBLIC t = {.publicArea = {.nameAlg = TPM2_ALG_SHA256,
                          .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                              TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                                              TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT}};
    if (kind == KEY_RSASSA || kind == KEY_RSAPSS) {
        t.publicArea.type = TPM2_ALG_RSA;
        TPMS_RSA_PARMS *rsa = &t.publicArea.parameters.rsaDetail;
        rsa->symmetric.algorithm = TPM2_ALG_NULL;
        rsa->scheme.scheme = kind == KEY_RSASSA ? TPM2_ALG_RSASSA : TPM2_ALG_RSAPSS;
        rsa->scheme.details.rsassa.hashAlg = TPM2_ALG_SHA256;
        rsa->keyBits = 2048;
        return t;
    }
    t.publicArea.type = TPM2_ALG_ECC;
    if (kind == KEY_UNRESTRICTED)
        t.publicArea.objectAttributes &= ~(TPMA_OBJECT)TPMA_OBJECT_RESTRICTED;
    TPMS_ECC_PARMS *ecc = &t.publicArea.parameters.eccDetail;
    ecc->symmetric.algorithm = TPM2_ALG_NULL;
    ecc->scheme.scheme = TPM2_ALG_ECDSA;
    ecc->scheme.details.ecdsa.hashAlg = kind == KEY_SHA384 ? TPM2_ALG_SHA384 : TPM2_ALG_SHA256;
    ecc->curveID = TPM2_ECC_NIST_P256;
    if (kind == KEY_P384 || kind == KEY_P384_NAME) {
        ecc->curveID = TPM2_ECC_NIST_P384;
        ecc->scheme.details.ecdsa.hashAlg = TPM2_ALG_SHA384;
        t.publicArea.nameAlg = kind == KEY_P384 ? TPM2_ALG_SHA256 : TPM2_ALG_SHA384;
    }
    ecc->kdf.scheme = TPM2_ALG_NULL;
    return t;
}

/* Another signing key: loaded, its public area put into the evidence and enrolled. */
static void use_key(fixture *f, enum key_kind kind)
{
    if (f->key != ESYS_TR_NONE)
        Esys_FlushContext(f->esys, f->key);
    TPM2B_PUBLIC template = key_template(kind);
    TPM2B_SENSITIVE_CREATE sensitive = {0};
    TPM2B_DATA outside = {0};
    TPML_PCR_SELECTION pcrs = {0};
    TPM2B_PUBLIC *public = NULL;
    assert_int_equal(
        Esys_CreatePrimary(f->esys, kind == KEY_OWNER ? ESYS_TR_RH_OWNER : ESYS_TR_RH_ENDORSEMENT,
            ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &template, &outside, &pcrs, &f->key,
            &public, NULL, NULL, NULL),
        0);
    uint8_t bytes[sizeof(TPMT_PUBLIC)];
    size_t len = 0;
    assert_int_equal(Tss2_MU_TPMT_PUBLIC_Marshal(&public->publicArea, bytes, sizeof(bytes), &len), 0);
    Esys_Free(public);
    lh_buf_clear(&f->evidence.ak_public);
    lh_buf_append(&f->evidence.ak_public, bytes, len);
    f->want.ak_public = lh_buf_bytes(&f->evidence.ak_public);
}

static void take(fixture *f, const TPM2B_ATTEST *attest, const TPMT_SIGNATURE *signature)
{
    uint8_t bytes[sizeof(TPMT_SIGNATURE)];
    size_t len = 0;
    assert_int_equal(Tss2_MU_TPMT_SIGNATURE_Marshal(signature, bytes, sizeof(bytes), &len), 0);
    lh_buf_clear(&f->evidence.attest);
    lh_buf_clear(&f->evidence.signature);
    lh_buf_append(&f->evidence.attest, attest->attestationData, attest->size);
    lh_buf_append(&f->evidence.signature, bytes, len);
}

static TPML_PCR_SELECTION selection_of(TPM2_ALG_ID hash, uint32_t mask)
{
    TPML_PCR_SELECTION s = {.count = 1};
    s.pcrSelections[0] = (TPMS_PCR_SELECTION){.hash = hash,
        .sizeofSelect = 3,
        .pcrSelect = {(uint8_t)mask, (uint8_t)(mask >> 8), (uint8_t)(mask >> 16)}};
    return s;
}

static void quote_selection(fixture *f, const TPML_PCR_SELECTION *selection)
{
    TPM2B_DATA qualifying = {.size = 32};
    TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_NULL};
    assert_lh_ok(lh_evidence_qualifying_one(f->crypto, &f->evidence.leaf, qualifying.buffer));
    TPM2B_ATTEST *attest = NULL;
    TPMT_SIGNATURE *signature = NULL;
    assert_int_equal(Esys_Quote(f->esys, f->key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &qualifying,
                         &scheme, selection, &attest, &signature),
        0);
    take(f, attest, signature);
    Esys_Free(attest);
    Esys_Free(signature);
}

static void quote(fixture *f)
{
    TPML_PCR_SELECTION selection = selection_of(TPM2_ALG_SHA256, MASK);
    quote_selection(f, &selection);
}

/* Bytes of ours under the restricted key: the TPM hashes and signs anything that does not begin with its
 * magic. */
static void sign_bytes(fixture *f, lh_bytes bytes)
{
    TPM2B_MAX_BUFFER data = {.size = (UINT16)bytes.len};
    memcpy(data.buffer, bytes.data, bytes.len);
    TPM2B_DIGEST *digest = NULL;
    TPMT_TK_HASHCHECK *ticket = NULL;
    TPMT_SIGNATURE *signature = NULL;
    TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_NULL};
    assert_int_equal(Esys_Hash(f->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &data, TPM2_ALG_SHA256,
                         ESYS_TR_RH_ENDORSEMENT, &digest, &ticket),
        0);
    assert_int_equal(Esys_Sign(f->esys, f->key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, digest, &scheme,
                         ticket, &signature),
        0);
    TPM2B_ATTEST attest = {.size = (UINT16)bytes.len};
    memcpy(attest.attestationData, bytes.data, bytes.len);
    take(f, &attest, signature);
    Esys_Free(digest);
    Esys_Free(ticket);
    Esys_Free(signature);
}

/* Any bytes under an unrestricted key. */
static void sign_digest(fixture *f, lh_bytes bytes)
{
    TPM2B_DIGEST digest = {.size = 32};
    TPMT_TK_HASHCHECK ticket = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
    TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_NULL};
    TPMT_SIGNATURE *signature = NULL;
    assert_lh_ok(lh_sha256(f->crypto, &bytes, 1, digest.buffer));
    assert_int_equal(Esys_Sign(f->esys, f->key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &digest,
                         &scheme, &ticket, &signature),
        0);
    TPM2B_ATTEST attest = {.size = (UINT16)bytes.len};
    memcpy(attest.attestationData, bytes.data, bytes.len);
    take(f, &attest, signature);
    Esys_Free(signature);
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->key = ESYS_TR_NONE;
    swtpm_start(&f->process);
    lh_tpm *tpm = swtpm_open(&f->process); /* waits until it answers */
    lh_evidence_init(&f->evidence);
    assert_lh_ok(lh_tpm_pcr_read(tpm, MASK, f->evidence.pcrs));
    lh_tpm_close(tpm);
    assert_int_equal(Tss2_TctiLdr_Initialize(f->process.tcti, &f->tcti), 0);
    assert_int_equal(Esys_Initialize(&f->esys, f->tcti, NULL), 0);
    assert_lh_ok(lh_crypto_new(&f->crypto));
    memset(f->evidence.leaf.nonce, 1, 32);
    memset(f->evidence.leaf.facts, 2, 32);
    memset(f->evidence.leaf.channel, 3, 32);
    memset(f->evidence.leaf.ephemeral, 4, 32);
    f->evidence.leaf_count = 1;
    f->evidence.pcr_mask = MASK;
    memset(f->allowed[0][0], 0xaa, 32); /* an older value */
    memcpy(f->allowed[0][1], f->evidence.pcrs[0], 32);
    memcpy(f->allowed[1][0], f->evidence.pcrs[7], 32);
    f->references[0] = (lh_evidence_reference){0, 2, (const uint8_t(*)[32])f->allowed[0]};
    f->references[1] = (lh_evidence_reference){7, 1, (const uint8_t(*)[32])f->allowed[1]};
    f->want = (lh_evidence_expectation){.leaf = f->evidence.leaf,
        .pcr_mask = MASK,
        .references = f->references,
        .n_references = 2,
        .nonce_issued_ms = 1000,
        .now_ms = 1500,
        .max_age_ms = 500};
    use_key(f, KEY_P256);
    quote(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    lh_evidence_deinit(&f->evidence);
    lh_crypto_free(f->crypto);
    Esys_Finalize(&f->esys);
    Tss2_TctiLdr_Finalize(&f->tcti);
    swtpm_stop(&f->process);
    free(f);
    return 0;
}

static lh_err verify(fixture *f)
{
    lh_evidence_result result;
    return lh_evidence_verify(f->crypto, &f->evidence, &f->want, &result);
}

#define assert_refused(f, reason) assert_lh_refused(verify(f), LH_E_ATTESTATION, (reason))

static void test_accepted(void **state)
{
    fixture *f = *state;
    lh_evidence_result result;
    assert_lh_ok(lh_evidence_verify(f->crypto, &f->evidence, &f->want, &result));
    assert_true(result.firmware != 0);
    assert_false(result.restarted);
    f->want.n_references = 0;
    f->want.max_age_ms = 0;
    assert_lh_ok(verify(f));
    for (enum key_kind k = KEY_RSASSA; k <= KEY_RSAPSS; k++) {
        use_key(f, k);
        quote(f);
        assert_lh_ok(verify(f));
    }
}

/* The product's own key and quote, too. */
static void test_own_ak(void **state)
{
    fixture *f = *state;
    Esys_FlushContext(f->esys, f->key);
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&f->process);
    uint8_t qualifying[32];
    assert_lh_ok(lh_evidence_qualifying_one(f->crypto, &f->evidence.leaf, qualifying));
    lh_buf_clear(&f->evidence.attest);
    lh_buf_clear(&f->evidence.signature);
    lh_buf_clear(&f->evidence.ak_public);
    assert_lh_ok(lh_tpm_quote(tpm, MASK, qualifying, &f->evidence.attest, &f->evidence.signature));
    assert_lh_ok(lh_tpm_ak_public(tpm, &f->evidence.ak_public));
    f->want.ak_public = lh_buf_bytes(&f->evidence.ak_public);
    assert_lh_ok(verify(f));
}

/* P-384 with SHA-384, the Name by SHA-256 or SHA-384: the quote's PCR digest is by SHA-384 then. */
static void test_p384(void **state)
{
    fixture *f = *state;
    for (enum key_kind k = KEY_P384; k <= KEY_P384_NAME; k++) {
        use_key(f, k);
        quote(f);
        assert_lh_ok(verify(f));
        f->evidence.pcrs[7][0] ^= 1;
        assert_refused(f, "evidence-pcr-digest");
        f->evidence.pcrs[7][0] ^= 1;
        f->evidence.attest.data[f->evidence.attest.len - 1] ^= 1;
        assert_refused(f, "evidence-signature");
        f->evidence.attest.data[f->evidence.attest.len - 1] ^= 1;
        f->evidence.signature.data[f->evidence.signature.len - 1] ^= 1;
        assert_refused(f, "evidence-signature");
        f->evidence.signature.data[f->evidence.signature.len - 1] ^= 1;
        f->evidence.signature.data[3] = TPM2_ALG_SHA256; /* a weaker hash than the key's */
        assert_refused(f, "evidence-scheme");
    }
}

static void test_signature(void **state)
{
    fixture *f = *state;
    for (size_t i = 0; i < f->evidence.attest.len; i++) {
        f->evidence.attest.data[i] ^= 1;
        assert_refused(f, "evidence-signature");
        f->evidence.attest.data[i] ^= 1;
    }
    for (size_t i = 0; i < f->evidence.signature.len; i++) {
        f->evidence.signature.data[i] ^= 1;
        assert_int_equal(verify(f).code, LH_E_ATTESTATION);
        f->evidence.signature.data[i] ^= 1;
    }
    f->evidence.signature.data[f->evidence.signature.len - 1] ^= 1;
    assert_refused(f, "evidence-signature");
}

static void test_other_key(void **state)
{
    fixture *f = *state;
    LH_AUTO(lh_buf_free) lh_buf other = LH_BUF_INIT(1024);
    lh_buf_append(&other, f->evidence.ak_public.data, f->evidence.ak_public.len);
    other.data[other.len - 1] ^= 1;
    f->want.ak_public = lh_buf_bytes(&other);
    assert_refused(f, "evidence-ak");
    f->want.ak_public = LH_BYTES(other.data, other.len - 1);
    assert_refused(f, "evidence-ak");
}

static void test_key_attributes(void **state)
{
    fixture *f = *state;
    static const uint32_t bits[] = {TPMA_OBJECT_FIXEDTPM, TPMA_OBJECT_FIXEDPARENT,
        TPMA_OBJECT_SENSITIVEDATAORIGIN, TPMA_OBJECT_RESTRICTED, TPMA_OBJECT_SIGN_ENCRYPT,
        TPMA_OBJECT_DECRYPT};
    for (size_t i = 0; i < LH_ARRAY_LEN(bits); i++)
        for (unsigned byte = 0; byte < 4; byte++) {
            uint8_t flip = (uint8_t)(bits[i] >> (24 - 8 * byte));
            if (flip == 0)
                continue;
            f->evidence.ak_public.data[4 + byte] ^= flip; /* enrolled and sent: one buffer */
            assert_refused(f, "evidence-ak-attributes");
            f->evidence.ak_public.data[4 + byte] ^= flip;
        }
    assert_lh_ok(verify(f));
}

static void test_scheme(void **state)
{
    fixture *f = *state;
    f->evidence.signature.data[3] = 0x04; /* ECDSA with SHA-1 */
    assert_refused(f, "evidence-scheme");
    f->evidence.signature.data[3] = 0x0b;
    f->evidence.signature.data[1] = 0x1a; /* ECDAA */
    assert_refused(f, "evidence-scheme");
    f->evidence.signature.data[1] = 0x18;
    assert_lh_ok(verify(f));
    /* An RSA signature under an ECC key. */
    LH_AUTO(lh_buf_free) lh_buf ecc = LH_BUF_INIT(1024);
    lh_buf_append(&ecc, f->evidence.ak_public.data, f->evidence.ak_public.len);
    use_key(f, KEY_RSASSA);
    quote(f);
    lh_buf_clear(&f->evidence.ak_public);
    lh_buf_append(&f->evidence.ak_public, ecc.data, ecc.len);
    f->want.ak_public = lh_buf_bytes(&f->evidence.ak_public);
    assert_refused(f, "evidence-scheme");
    /* A PSS signature under a PKCS#1 v1.5 key's scheme, and a key whose scheme hash is not SHA-256. */
    use_key(f, KEY_RSASSA);
    quote(f);
    f->evidence.signature.data[1] = 0x16;
    assert_refused(f, "evidence-scheme");
    use_key(f, KEY_SHA384);
    quote(f);
    assert_refused(f, "evidence-scheme");
}

static void test_curve(void **state)
{
    fixture *f = *state;
    /* type ‖ nameAlg ‖ attributes ‖ policy size ‖ symmetric ‖ scheme ‖ hash ‖ curve */
    assert_int_equal(f->evidence.ak_public.data[17], TPM2_ECC_NIST_P256);
    f->evidence.ak_public.data[17] = TPM2_ECC_NIST_P384;
    assert_refused(f, "evidence-scheme");
}

static void test_magic(void **state)
{
    fixture *f = *state;
    uint8_t forged[512];
    size_t len = f->evidence.attest.len;
    memcpy(forged, f->evidence.attest.data, len);
    forged[0] = 0xfe;
    sign_bytes(f, LH_BYTES(forged, len));
    assert_refused(f, "evidence-magic");
    sign_bytes(f, LH_BYTES(forged, 20));
    assert_refused(f, "evidence-format");
}

static void test_type(void **state)
{
    fixture *f = *state;
    TPM2B_DATA qualifying = {.size = 32};
    TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_NULL};
    assert_lh_ok(lh_evidence_qualifying_one(f->crypto, &f->evidence.leaf, qualifying.buffer));
    TPM2B_ATTEST *attest = NULL;
    TPMT_SIGNATURE *signature = NULL;
    assert_int_equal(Esys_GetTime(f->esys, ESYS_TR_RH_ENDORSEMENT, f->key, ESYS_TR_PASSWORD, ESYS_TR_PASSWORD,
                         ESYS_TR_NONE, &qualifying, &scheme, &attest, &signature),
        0);
    take(f, attest, signature);
    Esys_Free(attest);
    Esys_Free(signature);
    assert_refused(f, "evidence-type");
}

static void test_hierarchy(void **state)
{
    fixture *f = *state;
    use_key(f, KEY_OWNER);
    quote(f);
    assert_refused(f, "evidence-hierarchy");
}

static void test_leaf(void **state)
{
    fixture *f = *state;
    f->want.leaf.nonce[31] ^= 1;
    assert_refused(f, "evidence-nonce");
    f->want.leaf.nonce[31] ^= 1;
    f->want.leaf.facts[0] ^= 1;
    assert_refused(f, "evidence-facts");
    f->want.leaf.facts[0] ^= 1;
    f->want.leaf.channel[5] ^= 1;
    assert_refused(f, "evidence-channel");
    f->want.leaf.channel[5] ^= 1;
    f->want.leaf.ephemeral[9] ^= 1;
    assert_refused(f, "evidence-ephemeral");
    f->want.leaf.ephemeral[9] ^= 1;
    /* The quote is of an earlier nonce; the evidence says the new one. */
    f->evidence.leaf.nonce[0] ^= 1;
    f->want.leaf = f->evidence.leaf;
    assert_refused(f, "evidence-qualifying");
}

/* One quote for five requests: each is accepted with its own proof, and not with another's. */
static void test_tree(void **state)
{
    fixture *f = *state;
    LH_AUTO(lh_merkle_tree_freep) lh_merkle_tree *tree = NULL;
    assert_lh_ok(lh_merkle_tree_new(f->crypto, &tree));
    lh_evidence_leaf leaves[5];
    for (uint8_t i = 0; i < 5; i++) {
        uint8_t hash[32];
        leaves[i] = f->evidence.leaf;
        leaves[i].nonce[0] = i;
        assert_lh_ok(lh_evidence_leaf_hash(f->crypto, &leaves[i], hash));
        assert_lh_ok(lh_merkle_tree_append(tree, hash));
    }
    uint8_t root[32];
    TPM2B_DATA qualifying = {.size = 32};
    assert_lh_ok(lh_merkle_tree_root(tree, 5, root));
    assert_lh_ok(lh_evidence_qualifying(f->crypto, 5, root, qualifying.buffer));
    TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_NULL};
    TPML_PCR_SELECTION selection = selection_of(TPM2_ALG_SHA256, MASK);
    TPM2B_ATTEST *attest = NULL;
    TPMT_SIGNATURE *signature = NULL;
    assert_int_equal(Esys_Quote(f->esys, f->key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &qualifying,
                         &scheme, &selection, &attest, &signature),
        0);
    take(f, attest, signature);
    Esys_Free(attest);
    Esys_Free(signature);
    f->evidence.leaf_count = 5;
    for (uint32_t i = 0; i < 5; i++) {
        f->evidence.leaf = f->want.leaf = leaves[i];
        f->evidence.leaf_index = i;
        assert_lh_ok(lh_merkle_tree_inclusion(tree, i, 5, &f->evidence.proof));
        assert_lh_ok(verify(f));
        f->evidence.leaf = f->want.leaf = leaves[(i + 1) % 5];
        assert_refused(f, "evidence-qualifying");
        f->evidence.leaf = f->want.leaf = leaves[i];
        f->evidence.proof.hash[0][0] ^= 1;
        assert_refused(f, "evidence-qualifying");
        f->evidence.proof.hash[0][0] ^= 1;
        f->evidence.proof.count--;
        assert_refused(f, "evidence-proof");
        f->evidence.proof.count += 2;
        assert_refused(f, "evidence-proof");
    }
    f->evidence.leaf_index = 5;
    assert_refused(f, "evidence-proof");
    f->evidence.leaf_index = 0;
    f->evidence.leaf_count = 0;
    assert_refused(f, "evidence-proof");
    f->evidence.leaf_count = LH_EVIDENCE_LEAVES_MAX + 1;
    assert_refused(f, "evidence-proof");
    uint8_t q[32];
    assert_int_equal(lh_evidence_qualifying(f->crypto, 0, root, q).code, LH_E_INVALID);
    assert_int_equal(
        lh_evidence_qualifying(f->crypto, LH_EVIDENCE_LEAVES_MAX + 1, root, q).code, LH_E_INVALID);
}

static void test_age(void **state)
{
    fixture *f = *state;
    f->want.now_ms = 1501;
    assert_refused(f, "evidence-age");
    f->want.now_ms = 999; /* issued in the future */
    assert_refused(f, "evidence-age");
    f->want.now_ms = INT64_MAX;
    f->want.nonce_issued_ms = INT64_MIN;
    assert_refused(f, "evidence-age");
}

static void test_selection(void **state)
{
    fixture *f = *state;
    TPML_PCR_SELECTION s = selection_of(TPM2_ALG_SHA256, 0x80); /* fewer than asked */
    quote_selection(f, &s);
    assert_refused(f, "evidence-selection");
    s = selection_of(TPM2_ALG_SHA256, MASK | 2); /* more */
    quote_selection(f, &s);
    assert_refused(f, "evidence-selection");
    s = selection_of(TPM2_ALG_SHA1, MASK); /* another bank */
    quote_selection(f, &s);
    assert_refused(f, "evidence-selection");
    s = selection_of(TPM2_ALG_SHA256, MASK); /* a second bank */
    s.count = 2;
    s.pcrSelections[1] = selection_of(TPM2_ALG_SHA1, MASK).pcrSelections[0];
    quote_selection(f, &s);
    assert_refused(f, "evidence-selection");
    s = selection_of(TPM2_ALG_SHA256, 0); /* none */
    quote_selection(f, &s);
    assert_refused(f, "evidence-selection");
    s.count = 0;
    quote_selection(f, &s);
    assert_refused(f, "evidence-selection");
    quote(f);
    assert_lh_ok(verify(f));
    f->evidence.pcr_mask = MASK | 4; /* values of a PCR that was not quoted */
    assert_refused(f, "evidence-selection");
}

/* A TPM writes every selection in three bytes. A key that signs anything, enrolled as if it were restricted,
 * lets us say the same in two and in four, and leave a byte over. */
static void test_selection_size(void **state)
{
    fixture *f = *state;
    uint8_t forged[512];
    size_t len = f->evidence.attest.len;
    memcpy(forged, f->evidence.attest.data, len);
    use_key(f, KEY_UNRESTRICTED);
    f->evidence.ak_public.data[5] |= 0x01; /* restricted */
    /* The qualified Name of the enrolled key: magic ‖ type ‖ size ‖ algorithm ‖ digest. */
    uint8_t name[6 + 32] = {0x40, 0, 0, 0x0b, 0, 0x0b};
    const lh_bytes public = f->want.ak_public, with_hierarchy = LH_BYTES(name, sizeof(name));
    assert_lh_ok(lh_sha256(f->crypto, &public, 1, name + 6));
    assert_lh_ok(lh_sha256(f->crypto, &with_hierarchy, 1, forged + 10));
    const size_t size_at = len - 32 - 2 - 3 - 1;
    assert_int_equal(forged[size_at], 3);
    sign_digest(f, LH_BYTES(forged, len));
    assert_lh_ok(verify(f)); /* the control */
    forged[size_at] = 2;
    memmove(forged + size_at + 3, forged + size_at + 4, len - size_at - 4);
    sign_digest(f, LH_BYTES(forged, len - 1));
    assert_refused(f, "evidence-selection");
    memmove(forged + size_at + 5, forged + size_at + 3, len - 1 - size_at - 3);
    forged[size_at] = 4;
    forged[size_at + 3] = forged[size_at + 4] = 0;
    sign_digest(f, LH_BYTES(forged, len + 1));
    assert_refused(f, "evidence-selection");
    sign_digest(f, LH_BYTES(forged, len + 2));
    assert_refused(f, "evidence-format");
}

static void test_values(void **state)
{
    fixture *f = *state;
    f->evidence.pcrs[7][0] ^= 1; /* not what was quoted */
    assert_refused(f, "evidence-pcr-digest");
    f->evidence.pcrs[7][0] ^= 1;
    f->allowed[1][0][0] ^= 1; /* quoted, but not allowed */
    assert_refused(f, "evidence-pcr");
    assert_non_null(strstr(lh_err_last()->message, "PCR 7 "));
    f->references[1].count = 0; /* nothing is allowed */
    assert_refused(f, "evidence-pcr");
    f->references[1] =
        (lh_evidence_reference){8, 1, (const uint8_t(*)[32])f->allowed[1]}; /* not in the quote */
    assert_int_equal(verify(f).code, LH_E_INVALID);
}

static void test_counts(void **state)
{
    fixture *f = *state;
    lh_evidence_result r;
    assert_lh_ok(lh_evidence_verify(f->crypto, &f->evidence, &f->want, &r));
    f->want.have_last = true;
    f->want.last_reset_count = r.reset_count;
    f->want.last_restart_count = r.restart_count;
    f->want.last_firmware = r.firmware;
    assert_lh_ok(lh_evidence_verify(f->crypto, &f->evidence, &f->want, &r));
    assert_false(r.restarted);
    f->want.last_reset_count++;
    assert_refused(f, "evidence-reset");
    f->want.last_reset_count--;
    f->want.last_restart_count++;
    assert_refused(f, "evidence-reset");
    f->want.last_restart_count--;
    if (r.reset_count > 0) {
        f->want.last_reset_count--;
        assert_lh_ok(lh_evidence_verify(f->crypto, &f->evidence, &f->want, &r));
        assert_true(r.restarted);
        f->want.last_reset_count++;
    }
    f->want.last_firmware ^= 1;
    assert_refused(f, "evidence-firmware");
}

static void test_encoding(void **state)
{
    fixture *f = *state;
    LH_AUTO(lh_buf_free) lh_buf bytes = LH_BUF_INIT(LH_EVIDENCE_SIZE_MAX);
    LH_AUTO(lh_buf_free) lh_buf again = LH_BUF_INIT(LH_EVIDENCE_SIZE_MAX);
    assert_lh_ok(lh_evidence_encode(&f->evidence, &bytes));
    lh_evidence got;
    lh_evidence_init(&got);
    for (size_t n = 0; n < bytes.len; n++)
        assert_lh_refused(lh_evidence_decode(LH_BYTES(bytes.data, n), &got), LH_E_CORRUPT, "evidence-format");
    lh_buf_append(&bytes, "", 1);
    assert_lh_refused(lh_evidence_decode(lh_buf_bytes(&bytes), &got), LH_E_CORRUPT, "evidence-format");
    bytes.len--;
    bytes.data[0] = 2;
    assert_lh_refused(lh_evidence_decode(lh_buf_bytes(&bytes), &got), LH_E_UNSUPPORTED, "evidence-version");
    bytes.data[0] = 1;
    assert_lh_ok(lh_evidence_decode(lh_buf_bytes(&bytes), &got));
    assert_lh_ok(lh_evidence_encode(&got, &again));
    assert_true(lh_bytes_equal(lh_buf_bytes(&bytes), lh_buf_bytes(&again)));
    lh_evidence_result result;
    assert_lh_ok(lh_evidence_verify(f->crypto, &got, &f->want, &result));
    got.proof.count = LH_EVIDENCE_PROOF_MAX + 1;
    assert_int_equal(lh_evidence_encode(&got, &again).code, LH_E_INVALID);
    lh_evidence_deinit(&got);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {T(test_accepted), T(test_own_ak), T(test_p384), T(test_signature),
        T(test_other_key), T(test_key_attributes), T(test_scheme), T(test_curve), T(test_magic), T(test_type),
        T(test_hierarchy), T(test_leaf), T(test_tree), T(test_age), T(test_selection), T(test_selection_size),
        T(test_values), T(test_counts), T(test_encoding)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
