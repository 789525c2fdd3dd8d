/* Operations on hosts: parameters, whose keys they may have, versions, replay. */
#include "support.h"

#include "../ek_fixture.h"
#include "../x509_fixture.h"
#include "codec/base64.h"
#include "crypto/hash.h"

#define BOTH KEYS("alice", "bob")
#define AK_ATTRIBUTES 0x00050472u
#define CHANNEL "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define CHANNEL_2 "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define CHANNEL_3 "ee112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define LABELS "{\"env\": \"prod\", \"a\": \"b c\"}"

static EVP_PKEY *keys[4]; /* of two EKs, then two AKs */

static int setup(void **state)
{
    (void)state;
    static const char *const kinds[] = {"P-256", "P-384", "P-256", "P-256"};
    for (size_t i = 0; i < LH_ARRAY_LEN(keys); i++)
        keys[i] = ek_key(kinds[i]);
    if (ssh_setup() != 0 || !lh_ok(lh_crypto_new(&crypto)))
        return -1;
    make_keys(KEYS("alice", "bob", "carol"));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < LH_ARRAY_LEN(keys); i++)
        EVP_PKEY_free(keys[i]);
    lh_crypto_free(crypto);
    ssh_teardown();
    return 0;
}

/* What is particular about an enrolment; NULL is a good one's. */
typedef struct {
    const char *name;
    size_t ek, ak; /* which of the keys */
    const char *channel;
    uint32_t ak_attributes; /* 0: as they should be */
    uint16_t ak_scheme, ak_hash;
    const char *proof;  /* whole members, with a comma behind */
    const char *labels; /* NULL: no member */
    const char *more;   /* further members, with a comma before */
    const char *hash;   /* NULL: the right one */
} host_spec;

static lh_buf ak_public(EVP_PKEY *key, const host_spec *spec)
{
    lh_buf out = LH_BUF_INIT(1024);
    lh_put_u16(&out, 0x0023);
    lh_put_u16(&out, 0x000b);
    lh_put_u32(&out, spec->ak_attributes ? spec->ak_attributes : AK_ATTRIBUTES);
    lh_put_u16(&out, 0);
    lh_put_u16(&out, 0x0010);
    lh_put_u16(&out, spec->ak_scheme ? spec->ak_scheme : 0x0018);
    lh_put_u16(&out, spec->ak_hash ? spec->ak_hash : 0x000b);
    lh_put_u16(&out, 0x0003);
    lh_put_u16(&out, 0x0010);
    ek_put_coordinate(&out, key, OSSL_PKEY_PARAM_EC_PUB_X, 32);
    ek_put_coordinate(&out, key, OSSL_PKEY_PARAM_EC_PUB_Y, 32);
    return out;
}

static const char *text_of(lh_buf *text, lh_buf bytes_taken)
{
    lh_base64_encode(lh_buf_bytes(&bytes_taken), text);
    lh_buf_free(&bytes_taken);
    return lh_buf_cstr(text);
}

/* The parameters of host.enrol; the caller frees them. */
static lh_buf enrolment(const host_spec *spec)
{
    lh_buf json = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    lh_buf ek_text = LH_BUF_INIT(4096), ak_text = LH_BUF_INIT(4096);
    lh_buf ek = ek_public_of(keys[spec->ek]);
    uint8_t digest[32];
    char hex[65];
    const lh_bytes public = lh_buf_bytes(&ek);
    assert_ok(lh_sha256(crypto, &public, 1, digest));
    lh_hex(digest, sizeof digest, hex);
    lh_buf_printf(&json,
        "{\"name\": \"%s\",\n\"ek\": [\"%s\"],\n\"ek-sha256\": \"%s\",\n\"ak\": \"%s\",\n%s"
        "\"channel-key\": \"%s\"%s%s%s}",
        spec->name ? spec->name : "web", text_of(&ek_text, ek), spec->hash ? spec->hash : hex,
        text_of(&ak_text, ak_public(keys[2 + spec->ak], spec)),
        spec->proof ? spec->proof : "\"ek-proof\": \"pinned\",\n", spec->channel ? spec->channel : CHANNEL,
        spec->labels ? ",\n\"labels\": " : "", spec->labels ? spec->labels : "",
        spec->more ? spec->more : "");
    lh_buf_free(&ek_text);
    lh_buf_free(&ak_text);
    return json;
}

static lh_err parse(const host_spec *spec, lh_params *ret)
{
    lh_buf json = enrolment(spec);
    lh_err err = lh_params_parse(crypto, lh_operation_find("host.enrol"), lh_buf_bytes(&json), ret);
    lh_buf_free(&json);
    return err;
}

static void parameters(void **state)
{
    (void)state;
    lh_params p = {0};
    assert_ok(parse(&(host_spec){.labels = LABELS, .more = ",\n\"reference\": \"debian12\""}, &p));
    const lh_host_enrolment *host = p.enrolment;
    assert_string_equal(p.host, "web");
    assert_true(host->pinned);
    assert_int_equal(host->n_labels, 2);
    assert_string_equal(host->labels[0].name, "a");
    assert_string_equal(host->labels[0].value, "b c");
    assert_string_equal(host->labels[1].name, "env");
    assert_string_equal(host->reference, "debian12");
    assert_int_equal(host->channel_key[0], 0);
    assert_int_equal(host->channel_key[31], 0xff);
    lh_buf ek = ek_public_of(keys[0]);
    assert_true(lh_bytes_equal(lh_buf_bytes(&host->ek_public), lh_buf_bytes(&ek)));
    lh_buf_free(&ek);
    lh_params_clear(&p);
    assert_ok(parse(&(host_spec){.proof = "\"ek-proof\": \"certificate\", \"certificate\": [\"" X509_LEAF
                                          "\",\n[\"" X509_CA "\"]],\n"},
        &p));
    assert_false(p.enrolment->pinned);
    assert_int_equal(p.enrolment->certificate_count, 2);
    assert_string_equal(p.enrolment->reference, "");
    lh_params_clear(&p);
    assert_ok(
        lh_params_parse(crypto, lh_operation_find("host.retire"), LH_BYTES_STR("{\"name\": \"web\"}"), &p));
    assert_string_equal(p.host, "web");
    lh_params_clear(&p);
    assert_false(lh_operation_find("host.retire")->quorum); /* it narrows */
    assert_true(lh_operation_find("host.enrol")->quorum);
}

#define CERTIFICATES(list) "\"ek-proof\": \"certificate\", \"certificate\": [" list "],\n"

static void parameters_refused(void **state)
{
    (void)state;
    static const struct {
        host_spec spec;
        const char *reason;
    } cases[] = {
        {{.name = "we b"}, "roster-name"},
        {{.name = "self"}, "host-name"},
        {{.hash = CHANNEL}, "ek-hash"},
        {{.hash = "00"}, "params"},
        {{.channel = "00"}, "params"},
        {{.proof = ""}, "params"},
        {{.proof = "\"ek-proof\": \"both\",\n"}, "params"},
        {{.proof = "\"ek-proof\": \"pinned\", \"certificate\": [\"" X509_CA "\"],\n"}, "params"},
        {{.proof = CERTIFICATES("")}, "params"},
        {{.proof = CERTIFICATES("7")}, "params"},
        {{.proof = CERTIFICATES("\"AAAA\"")}, "certificate-format"},
        {{.proof = CERTIFICATES("\"AAA\"")}, "base64"},
        {{.labels = "[]"}, "params"},
        {{.labels = "{\"env\": 1}"}, "params"},
        {{.labels = "{\"e v\": \"1\"}"}, "roster-name"},
        {{.labels = "{\"env\": \"\"}"}, "params"},
        {{.labels =
                 "{\"a\":\"1\",\"b\":\"1\",\"c\":\"1\",\"d\":\"1\",\"e\":\"1\",\"f\":\"1\",\"g\":\"1\",\"h\":"
                 "\"1\",\"i\":\"1\",\"j\":\"1\",\"k\":\"1\",\"l\":\"1\",\"m\":\"1\",\"n\":\"1\",\"o\":\"1\","
                 "\"p\":\"1\",\"q\":\"1\"}"},
            "host-labels"},
        {{.more = ",\n\"reference\": \"a b\""}, "roster-name"},
        {{.more = ",\n\"role\": \"r\""}, "params"},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_params p = {0};
        lh_err err = parse(&cases[i].spec, &p);
        if (lh_ok(err) || strcmp(lh_err_last()->reason, cases[i].reason) != 0)
            fail_msg("case %zu: [%s] %s", i, lh_err_last()->reason, lh_err_last()->message);
    }
}

/* What the verifier would refuse in each quote is not enrolled. */
static void n02_attestation_keys_that_are_none(void **state)
{
    (void)state;
    lh_params p = {0};
    static const uint32_t needed[] = {0x2, 0x10, 0x20, 0x10000, 0x40000};
    for (size_t i = 0; i < LH_ARRAY_LEN(needed); i++)
        assert_refused(parse(&(host_spec){.ak_attributes = AK_ATTRIBUTES & ~needed[i]}, &p), LH_E_INVALID,
            "ak-attributes");
    assert_refused(
        parse(&(host_spec){.ak_attributes = AK_ATTRIBUTES | 0x20000}, &p), LH_E_INVALID, "ak-attributes");
    assert_refused(parse(&(host_spec){.ak_hash = 0x0004}, &p), LH_E_INVALID, "ak-type");
    assert_refused(parse(&(host_spec){.ak_hash = 0x000c}, &p), LH_E_INVALID, "ak-type");
    assert_refused(parse(&(host_spec){.ak_scheme = 0x001a}, &p), LH_E_INVALID, "ak-type");
}

static lh_err try_enact(vault *v, const char *operation, lh_buf json_taken)
{
    lh_proposal *p = NULL;
    lh_proposal_request request = {
        .operation = operation, .parameters = lh_buf_bytes(&json_taken), .requester = "alice", .now = NOW};
    lh_err err = try_propose(v, &request, &p);
    if (lh_ok(err)) {
        assert_ok(approve(v, p, "alice"));
        assert_ok(approve(v, p, "bob"));
        err = execute(v, p);
    }
    lh_proposal_free(p);
    lh_buf_free(&json_taken);
    return err;
}

static lh_err enrol(vault *v, const host_spec *spec)
{
    return try_enact(v, "host.enrol", enrolment(spec));
}

static lh_chain *replay(vault *v)
{
    lh_chain *again = NULL;
    assert_ok(lh_chain_replay(v->records, crypto, &again));
    assert_memory_equal(lh_chain_hash(again), lh_chain_hash(v->chain), 32);
    assert_ok(lh_chain_check_tables(v->records, crypto, again));
    return again;
}

static void hosts_come_and_go(void **state)
{
    (void)state;
    vault v = {0};
    uint8_t channel[32];
    found_vault(&v, KEYS("alice", "bob", "carol"), 2);
    assert_ok(enrol(&v, &(host_spec){.name = "web"}));
    assert_ok(
        enrol(&v, &(host_spec){.name = "db", .ek = 1, .ak = 1, .channel = CHANNEL_2, .labels = LABELS}));
    lh_chain *again = replay(&v);
    const lh_state *s = lh_chain_state(again);
    assert_int_equal(s->n_hosts, 2);
    assert_string_equal(s->hosts[0].name, "db");
    assert_int_equal(lh_state_find_host(s, "web")->version, 1);
    assert_int_equal(lh_state_find_host(s, "db")->version, 2);
    assert_null(lh_state_find_host(s, "d"));
    assert_ok(lh_unhex(CHANNEL_2, channel, 32));
    assert_string_equal(lh_state_find_host_by_channel(s, channel)->name, "db");
    channel[0] ^= 1;
    assert_null(lh_state_find_host_by_channel(s, channel));
    lh_chain_free(again);
    /* One officer retires; the version moves on when the name is enrolled again. */
    enact(&v, "host.retire", "{\"name\": \"web\"}", KEYS("carol"));
    lh_buf gone = LH_BUF_INIT(64);
    lh_buf_append_str(&gone, "{\"name\": \"web\"}");
    assert_refused(try_enact(&v, "host.retire", gone), LH_E_NOT_FOUND, "host-unknown");
    assert_ok(enrol(&v, &(host_spec){.name = "web"}));
    again = replay(&v);
    assert_int_equal(lh_state_find_host(lh_chain_state(again), "web")->version, 4);
    lh_chain_free(again);
    close_vault(&v);
}

/* Another enrolment of a host replaces everything, and makes stale what was proposed about the one before. */
static void a_host_is_enrolled_anew(void **state)
{
    (void)state;
    vault v = {0};
    found_vault(&v, KEYS("alice", "bob", "carol"), 2);
    assert_ok(enrol(&v, &(host_spec){.labels = LABELS, .more = ",\n\"reference\": \"r\""}));
    lh_proposal *late = propose(&v, "host.retire", "{\"name\": \"web\"}");
    assert_ok(enrol(&v, &(host_spec){.ek = 1, .ak = 1, .channel = CHANNEL_3}));
    assert_refused(approve(&v, late, "alice"), LH_E_STATE, "proposal-stale");
    lh_proposal_free(late);
    lh_chain *again = replay(&v);
    const lh_state *s = lh_chain_state(again);
    assert_int_equal(s->n_hosts, 1);
    assert_int_equal(s->hosts[0].version, 2);
    assert_int_equal(s->hosts[0].enrolment->n_labels, 0);
    assert_string_equal(s->hosts[0].enrolment->reference, "");
    assert_int_equal(s->hosts[0].enrolment->channel_key[0], 0xee);
    lh_chain_free(again);
    /* Its former keys are free. */
    assert_ok(enrol(&v, &(host_spec){.name = "other"}));
    close_vault(&v);
}

static void n09_the_keys_of_another_host(void **state)
{
    (void)state;
    vault v = {0};
    found_vault(&v, KEYS("alice", "bob", "carol"), 2);
    assert_ok(enrol(&v, &(host_spec){.name = "web"}));
    assert_refused(
        enrol(&v, &(host_spec){.name = "db", .ak = 1, .channel = CHANNEL_2}), LH_E_EXISTS, "host-ek-taken");
    assert_refused(
        enrol(&v, &(host_spec){.name = "db", .ek = 1, .channel = CHANNEL_2}), LH_E_EXISTS, "host-ak-taken");
    assert_refused(
        enrol(&v, &(host_spec){.name = "db", .ek = 1, .ak = 1}), LH_E_EXISTS, "host-channel-taken");
    /* Two proposals for one TPM: the second is refused when it is carried out. */
    lh_buf json = enrolment(&(host_spec){.name = "db", .ek = 1, .ak = 1, .channel = CHANNEL_2});
    lh_proposal *late = propose(&v, "host.enrol", lh_buf_cstr(&json));
    assert_ok(approve(&v, late, "alice"));
    assert_ok(approve(&v, late, "bob"));
    assert_ok(enrol(&v, &(host_spec){.name = "db2", .ek = 1, .ak = 1, .channel = CHANNEL_3}));
    assert_refused(execute(&v, late), LH_E_EXISTS, "host-ek-taken");
    lh_proposal_free(late);
    lh_buf_free(&json);
    assert_int_equal(lh_chain_state(v.chain)->n_hosts, 2);
    close_vault(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters),
        cmocka_unit_test(parameters_refused),
        cmocka_unit_test(n02_attestation_keys_that_are_none),
        cmocka_unit_test(hosts_come_and_go),
        cmocka_unit_test(a_host_is_enrolled_anew),
        cmocka_unit_test(n09_the_keys_of_another_host),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
