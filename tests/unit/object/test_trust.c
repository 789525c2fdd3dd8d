/* What the security officer's word is worth, and who may wrap; limits of keys that do not get wider and do
 * not stay behind. */
#include "rules_support.h"

#include "fixture.h"

#include "leasehold/pkcs11-3.h"

static lh_attributes *known_key(void)
{
    lh_attributes *template = TEMPLATE(U(CKA_CLASS, CKO_SECRET_KEY), U(CKA_KEY_TYPE, CKK_AES),
        B(CKA_PRIVATE, false), B(CKA_WRAP, true), B(CKA_SENSITIVE, true), B(CKA_EXTRACTABLE, false),
        S(CKA_VALUE, "an attacker knows this key here!"));
    confine(template);
    return template;
}

/* The SO knows a key and says that it is trusted: when it is made, later, of one that was unwrapped, of one
 * that was readable. */
static void test_trusted_known_key(void **state)
{
    (void)state;
    AUTO template = known_key();
    AUTO known = NULL;
    AUTO never = NULL;
    ok(lh_rules_create(template, LH_RULES_SO, &known));
    AUTO trust = TEMPLATE(B(CKA_TRUSTED, true));
    refused(lh_rules_set(known, trust, LH_RULES_SO, &never), "attribute-value-invalid");
    refused(lh_rules_copy(known, trust, LH_RULES_SO, &never), "attribute-value-invalid");
    ok(lh_attributes_set_bool(template, CKA_TRUSTED, true));
    refused(lh_rules_create(template, LH_RULES_SO, &never), "attribute-value-invalid");
    AUTO fit = guardian();
    AUTO wraps = TEMPLATE(U(CKA_KEY_TYPE, CKK_AES), B(CKA_WRAP, true), B(CKA_PRIVATE, false),
        B(CKA_SENSITIVE, true), B(CKA_TRUSTED, true));
    refused(lh_rules_unwrap(fit, &AES_KW, wraps, LH_RULES_SO, &never), "attribute-value-invalid");
    AUTO loose = TEMPLATE(U(CKA_VALUE_LEN, 32), B(CKA_PRIVATE, false), B(CKA_WRAP, true),
        B(CKA_EXTRACTABLE, true), B(CKA_TRUSTED, true));
    refused(lh_rules_generate(&AES_GEN, loose, LH_RULES_SO, &never), "attribute-value-invalid");
    assert_null(never);
}

/* A key that was made here and never left is trusted, at once or later; that alone makes no guardian of it.
 */
static void test_trusted_own_key(void **state)
{
    (void)state;
    lh_attributes *template = TEMPLATE(B(CKA_WRAP, true), B(CKA_PRIVATE, false));
    confine(template);
    AUTO born = aes(template, 32);
    AUTO trust = TEMPLATE(B(CKA_TRUSTED, true));
    AUTO trusted = NULL;
    ok(lh_rules_set(born, trust, LH_RULES_SO, &trusted));
    assert_true(lh_rules_is_guardian(trusted));
    AUTO secret =
        aes(TEMPLATE(B(CKA_SENSITIVE, true), B(CKA_EXTRACTABLE, true), B(CKA_WRAP_WITH_TRUSTED, true)), 32);
    ok(lh_rules_may_wrap(trusted, secret, &AES_KW, LH_RULES_USER));
    AUTO at_once =
        TEMPLATE(U(CKA_VALUE_LEN, 32), B(CKA_PRIVATE, false), B(CKA_ENCRYPT, true), B(CKA_TRUSTED, true));
    AUTO made = NULL;
    ok(lh_rules_generate(&AES_GEN, at_once, LH_RULES_SO, &made));
    assert_true(lh_attributes_bool(made, CKA_TRUSTED, false));
    assert_false(lh_rules_is_guardian(made));
}

/* A store in which a known key was called trusted before: the word is worth nothing, and can be taken back.
 */
static void test_trusted_before(void **state)
{
    (void)state;
    AUTO template = known_key();
    AUTO old = NULL;
    ok(lh_rules_create(template, LH_RULES_SO, &old));
    ok(lh_attributes_set_bool(old, CKA_TRUSTED, true));
    assert_false(lh_rules_is_guardian(old));
    AUTO secret = target();
    refused(lh_rules_may_wrap(old, secret, &AES_KW, LH_RULES_USER), "key-not-wrappable");
    AUTO with = aes(TEMPLATE(B(CKA_EXTRACTABLE, true), B(CKA_WRAP_WITH_TRUSTED, true)), 32);
    refused(lh_rules_may_wrap(old, with, &AES_KW, LH_RULES_USER), "key-not-wrappable");
    AUTO label = TEMPLATE(S(CKA_LABEL, "old"));
    AUTO named = NULL;
    ok(lh_rules_set(old, label, LH_RULES_USER, &named));
    AUTO no = TEMPLATE(B(CKA_TRUSTED, false));
    AUTO plain = NULL;
    ok(lh_rules_set(old, no, LH_RULES_SO, &plain));
}

static void test_wrapping_is_the_users(void **state)
{
    (void)state;
    AUTO fit = guardian();
    const bool private[] = {true, false};
    for (size_t i = 0; i < 2; i++) {
        AUTO secret =
            aes(TEMPLATE(B(CKA_SENSITIVE, true), B(CKA_EXTRACTABLE, true), B(CKA_PRIVATE, private[i])), 32);
        refused(lh_rules_may_wrap(fit, secret, &AES_KW, LH_RULES_SO), "user-not-logged-in");
        refused(lh_rules_may_wrap(fit, secret, &AES_KW, LH_RULES_PUBLIC), "user-not-logged-in");
        ok(lh_rules_may_wrap(fit, secret, &AES_KW, LH_RULES_USER));
    }
    AUTO readable = aes(TEMPLATE(B(CKA_EXTRACTABLE, true), B(CKA_PRIVATE, false)), 32);
    ok(lh_rules_may_wrap(fit, readable, &AES_KW, LH_RULES_PUBLIC));
}

/* --- dates and other limits --- */

static void changes(const lh_attributes *key, unsigned long type, const char *date, bool may)
{
    AUTO template = TEMPLATE(S(type, date));
    AUTO set = NULL;
    AUTO copy = NULL;
    if (may) {
        ok(lh_rules_set(key, template, LH_RULES_USER, &set));
        ok(lh_rules_copy(key, template, LH_RULES_USER, &copy));
        return;
    }
    refused(lh_rules_set(key, template, LH_RULES_USER, &set), "attribute-read-only");
    refused(lh_rules_copy(key, template, LH_RULES_USER, &copy), "attribute-read-only");
}

static void test_dates_narrow(void **state)
{
    (void)state;
    AUTO free = aes(EMPTY_TEMPLATE, 32);
    changes(free, CKA_START_DATE, "20300101", true);
    changes(free, CKA_END_DATE, "20200101", true);
    changes(free, CKA_END_DATE, "", true);
    AUTO key = aes(TEMPLATE(S(CKA_START_DATE, "20260315"), S(CKA_END_DATE, "20280315")), 32);
    changes(key, CKA_START_DATE, "20260315", true);
    changes(key, CKA_START_DATE, "20260316", true);
    changes(key, CKA_START_DATE, "20260314", false);
    changes(key, CKA_START_DATE, "20251231", false);
    changes(key, CKA_START_DATE, "", false);
    changes(key, CKA_END_DATE, "20280315", true);
    changes(key, CKA_END_DATE, "20280314", true);
    changes(key, CKA_END_DATE, "20280316", false);
    changes(key, CKA_END_DATE, "20900101", false);
    changes(key, CKA_END_DATE, "", false);
    AUTO nothing = EMPTY_TEMPLATE;
    AUTO copy = NULL;
    ok(lh_rules_copy(key, nothing, LH_RULES_USER, &copy));
    changes(copy, CKA_END_DATE, "20280316", false);
    AUTO earlier = TEMPLATE(S(CKA_END_DATE, "20270101"));
    AUTO shorter = NULL;
    ok(lh_rules_copy(key, earlier, LH_RULES_USER, &shorter));
    changes(shorter, CKA_END_DATE, "20270102", false);
}

static void leaves(lh_attributes *template, bool sensitive, bool may)
{
    AUTO fit = guardian();
    ok(lh_attributes_set_bool(template, CKA_EXTRACTABLE, true));
    ok(lh_attributes_set_bool(template, CKA_SENSITIVE, sensitive));
    AUTO key = aes(template, 32);
    if (may)
        ok(lh_rules_may_wrap(fit, key, &AES_KW, LH_RULES_USER));
    else
        refused(lh_rules_may_wrap(fit, key, &AES_KW, LH_RULES_USER), "key-not-wrappable");
}

/* Wrapped and unwrapped, a key would be without its limits. */
static void test_limited_keys_stay(void **state)
{
    (void)state;
    leaves(EMPTY_TEMPLATE, true, true);
    leaves(TEMPLATE(S(CKA_START_DATE, "")), true, true);
    for (int sensitive = 0; sensitive < 2; sensitive++) {
        const unsigned long templates[] = {CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE, CKA_DERIVE_TEMPLATE};
        leaves(TEMPLATE(S(CKA_START_DATE, "20200101")), sensitive, !sensitive);
        leaves(TEMPLATE(S(CKA_END_DATE, "20990101")), sensitive, !sensitive);
        lh_attributes *listed = EMPTY_TEMPLATE;
        const uint64_t list[] = {CKM_AES_GCM};
        add_list(listed, CKA_ALLOWED_MECHANISMS, list, 1);
        leaves(listed, sensitive, !sensitive);
        for (size_t i = 0; i < LH_ARRAY_LEN(templates); i++) {
            lh_attributes *with = EMPTY_TEMPLATE;
            add_template(with, templates[i], TEMPLATE(B(CKA_SENSITIVE, true)));
            leaves(with, sensitive, !sensitive);
        }
    }
    AUTO fit = guardian();
    AUTO public = NULL;
    AUTO private = NULL;
    AUTO asks = TEMPLATE(B(CKA_ALWAYS_AUTHENTICATE, true), B(CKA_EXTRACTABLE, true), B(CKA_SIGN, true));
    AUTO open = EMPTY_TEMPLATE;
    ok(lh_attributes_set_ulong(open, CKA_MODULUS_BITS, 2048));
    ok(lh_rules_generate_pair(&RSA_GEN, open, asks, LH_RULES_USER, &public, &private));
    refused(lh_rules_may_wrap(fit, private, &AES_KW, LH_RULES_USER), "key-not-wrappable");
    AUTO decapsulates = NULL;
    ok(lh_attributes_clone(private, &decapsulates));
    ok(lh_attributes_set_bool(decapsulates, CKA_ALWAYS_AUTHENTICATE, false));
    add_template(decapsulates, CKA_DECAPSULATE_TEMPLATE, TEMPLATE(B(CKA_SENSITIVE, true)));
    refused(lh_rules_may_wrap(fit, decapsulates, &AES_KW, LH_RULES_USER), "key-not-wrappable");
}

/* --- in a partition --- */

static void put_certificate(lh_buf *out, bool token, bool trusted)
{
    lh_wire_put_ulong(out, CKA_CLASS, CKO_CERTIFICATE);
    lh_wire_put_ulong(out, CKA_CERTIFICATE_TYPE, CKC_X_509);
    lh_wire_put_bool(out, CKA_TOKEN, token);
    lh_wire_put_attribute(out, CKA_SUBJECT, 0, LH_BYTES_STR("s"));
    lh_wire_put_attribute(out, CKA_VALUE, 0, LH_BYTES_STR("v"));
    if (trusted)
        lh_wire_put_bool(out, CKA_TRUSTED, true);
}

static lh_err set_trusted(lh_application *a, uint64_t handle, bool trusted)
{
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(64);
    lh_wire_put_bool(&template, CKA_TRUSTED, trusted);
    return lh_application_set_attributes(a, &(lh_set_attributes_request){handle, lh_buf_bytes(&template)});
}

/* Every time that something becomes trusted, once, whether it is kept or not. */
static void test_trust_is_logged(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    const unsigned *count = &t->events[LH_EVENT_OBJECT_TRUSTED];
    unsigned want = 0;
    assert_lh_ok(try_login(a, 1, CKU_SO, "so-pin"));
    for (int token = 0; token < 2; token++) {
        LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(256);
        LH_AUTO(lh_buf_free) lh_buf trusted = LH_BUF_INIT(256);
        uint64_t handle = 0;
        put_certificate(&plain, token, false);
        put_certificate(&trusted, token, true);
        assert_lh_ok(try_create(a, 1, &plain, &handle));
        assert_int_equal(*count, want);
        assert_lh_ok(set_trusted(a, handle, true));
        assert_int_equal(*count, ++want);
        assert_lh_ok(set_trusted(a, handle, true));
        assert_lh_ok(set_trusted(a, handle, false));
        assert_int_equal(*count, want);
        t->event_fails = LH_E_STORE; /* not logged, not trusted */
        assert_false(lh_ok(set_trusted(a, handle, true)));
        assert_false(lh_ok(try_create(a, 1, &trusted, &handle)));
        t->event_fails = LH_OK;
        assert_lh_ok(try_create(a, 1, &trusted, &handle));
        assert_int_equal(*count, ++want);
    }
    lh_application_free(a);
}

static uint64_t make_aes(lh_application *a, const lh_buf *flags)
{
    lh_generate_reply reply;
    assert_lh_ok(lh_application_generate(a,
        &(lh_generate_request){
            .slot = 1, .session = 1, .mechanism = CKM_AES_KEY_GEN, .attributes = lh_buf_bytes(flags)},
        &reply));
    return reply.handle;
}

/* Two keys that everybody sees and the user made. */
static void test_wrapping_by_others(void **state)
{
    struct token *t = *state;
    lh_application *user = application(t, 10);
    lh_application *other = application(t, 11);
    LH_AUTO(lh_buf_free) lh_buf wraps = LH_BUF_INIT(256);
    LH_AUTO(lh_buf_free) lh_buf secret = LH_BUF_INIT(256);
    LH_AUTO(lh_buf_free) lh_buf wrapped = LH_BUF_INIT(LH_WIRE_WRAPPED_MAX);
    lh_buf *const both[] = {&wraps, &secret};
    for (size_t i = 0; i < 2; i++) {
        lh_wire_put_ulong(both[i], CKA_VALUE_LEN, 32);
        lh_wire_put_bool(both[i], CKA_TOKEN, true);
        lh_wire_put_bool(both[i], CKA_PRIVATE, false);
        lh_wire_put_bool(both[i], CKA_SENSITIVE, true);
    }
    lh_wire_put_bool(&wraps, CKA_WRAP, true);
    lh_wire_put_bool(&secret, CKA_EXTRACTABLE, true);
    assert_lh_ok(try_login(user, 1, CKU_USER, "1234"));
    const lh_wrap_request w = {
        .mechanism = CKM_AES_KEY_WRAP, .wrapping = make_aes(user, &wraps), .key = make_aes(user, &secret)};
    assert_refusal(lh_application_wrap(other, &w, &wrapped), "user-not-logged-in");
    lh_application_free(user);
    assert_lh_ok(try_login(other, 1, CKU_SO, "so-pin"));
    assert_refusal(lh_application_wrap(other, &w, &wrapped), "user-not-logged-in");
    assert_int_equal(wrapped.len, 0);
    lh_application_free(other);
    user = application(t, 12);
    assert_lh_ok(try_login(user, 1, CKU_USER, "1234"));
    assert_lh_ok(lh_application_wrap(user, &w, &wrapped));
    lh_application_free(user);
}

#define TOKEN(name) cmocka_unit_test_setup_teardown(name, token_set_up, token_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trusted_known_key),
        cmocka_unit_test(test_trusted_own_key),
        cmocka_unit_test(test_trusted_before),
        cmocka_unit_test(test_wrapping_is_the_users),
        cmocka_unit_test(test_dates_narrow),
        cmocka_unit_test(test_limited_keys_stay),
        TOKEN(test_trust_is_logged),
        TOKEN(test_wrapping_by_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
