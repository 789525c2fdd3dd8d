/* The published attacks on PKCS #11, each by its name: J. Clulow, On the Security of PKCS #11 (CHES 2003);
 * M. Bortolozzo, M. Centenaro, R. Focardi, G. Steel, Attacking and Fixing PKCS #11 Security Tokens (CCS 2010,
 * "Tookan", a1 to a5); S. Delaune, S. Kremer, G. Steel, Formal Analysis of PKCS #11 (CSF 2008); R. Bardou and
 * others, Efficient Padding Oracle Attacks on Cryptographic Hardware (CRYPTO 2012). */
#include "rules_support.h"

/* Tookan a1, Clulow 3.2 (wrap and decrypt): a key that can decrypt wraps nothing that cannot be read. */
static void test_a1_wrap_decrypt_symmetric(void **state)
{
    (void)state;
    AUTO both = aes(TEMPLATE(B(CKA_WRAP, true), B(CKA_DECRYPT, true)), 32);
    AUTO secret = target();
    ok(lh_rules_may_use(both, &AES_KW, LH_USE_WRAP, NOW));
    refused(lh_rules_may_wrap(both, secret, &AES_KW, LH_RULES_USER), "key-not-wrappable");
    /* listing only safe mechanisms does not help it */
    lh_attributes *template = TEMPLATE(B(CKA_WRAP, true), B(CKA_DECRYPT, true));
    confine(template);
    AUTO confined = aes(template, 32);
    refused(lh_rules_may_wrap(confined, secret, &AES_KW, LH_RULES_USER), "key-not-wrappable");
    /* what anybody may read, it may wrap: suites that give one key every role do that */
    AUTO readable = aes(TEMPLATE(B(CKA_EXTRACTABLE, true)), 32);
    ok(lh_rules_may_wrap(both, readable, &AES_KW, LH_RULES_USER));
    AUTO fit = guardian();
    ok(lh_rules_may_wrap(fit, secret, &AES_KW, LH_RULES_USER));
}

/* Tookan a2: the same with the halves of an RSA pair; and signing with bare RSA is decrypting. */
static void test_a2_wrap_decrypt_asymmetric(void **state)
{
    (void)state;
    AUTO secret = target();
    const unsigned long others[] = {CKA_DECRYPT, CKA_SIGN, CKA_SIGN_RECOVER};
    for (size_t i = 0; i < 3; i++) {
        AUTO public = NULL;
        AUTO private = NULL;
        lh_attributes *hidden = TEMPLATE(B(CKA_UNWRAP, true), B(others[i], true));
        confine(hidden);
        rsa_pair(TEMPLATE(B(CKA_WRAP, true)), hidden, &public, &private);
        refused(lh_rules_may_wrap(public, secret, &OAEP, LH_RULES_USER), "key-not-wrappable");
    }
    AUTO public = NULL;
    AUTO private = NULL;
    lh_attributes *hidden = TEMPLATE(B(CKA_UNWRAP, true));
    confine(hidden);
    rsa_pair(TEMPLATE(B(CKA_WRAP, true)), hidden, &public, &private);
    ok(lh_rules_may_wrap(public, secret, &OAEP, LH_RULES_USER));
    /* and the private half never gets the other roles */
    for (size_t i = 0; i < 3; i++) {
        AUTO change = TEMPLATE(B(others[i], true));
        AUTO changed = NULL;
        refused(lh_rules_set(private, change, LH_RULES_USER, &changed), "template-inconsistent");
        refused(lh_rules_copy(private, change, LH_RULES_USER, &changed), "template-inconsistent");
    }
}

/* A pair born with no private role at all cannot be given one once its public half has wrapped. */
static void test_a2_role_given_later(void **state)
{
    (void)state;
    AUTO public = NULL;
    AUTO private = NULL;
    rsa_pair(TEMPLATE(B(CKA_WRAP, true)), EMPTY_TEMPLATE, &public, &private);
    AUTO decrypt = TEMPLATE(B(CKA_DECRYPT, true));
    AUTO changed = NULL;
    refused(lh_rules_set(private, decrypt, LH_RULES_USER, &changed), "template-inconsistent");
}

/* Clulow's Trojan public key: one that was brought in wraps nothing sensitive, unless the SO trusts it. */
static void test_trojan_public_key(void **state)
{
    (void)state;
    char modulus[257];
    memset(modulus, 'm', 256);
    modulus[256] = 0;
    AUTO template = TEMPLATE(U(CKA_CLASS, CKO_PUBLIC_KEY), U(CKA_KEY_TYPE, CKK_RSA), B(CKA_WRAP, true),
        S(CKA_MODULUS, modulus), S(CKA_PUBLIC_EXPONENT, "\1\1\1"));
    AUTO trojan = NULL;
    ok(lh_rules_create(template, LH_RULES_USER, &trojan));
    AUTO secret = target();
    refused(lh_rules_may_wrap(trojan, secret, &OAEP, LH_RULES_USER), "key-not-wrappable");
    AUTO trust = TEMPLATE(B(CKA_TRUSTED, true));
    AUTO trusted = NULL;
    refused(lh_rules_set(trojan, trust, LH_RULES_USER, &trusted), "attribute-read-only");
    ok(lh_rules_set(trojan, trust, LH_RULES_SO, &trusted));
    ok(lh_rules_may_wrap(trusted, secret, &OAEP, LH_RULES_USER));
    refused(lh_rules_may_wrap(trusted, secret, &RSA_PKCS, LH_RULES_USER), "key-not-wrappable");
}

/* Clulow's Trojan wrapped key, and any key whose value was outside. */
static void test_known_wrapping_key(void **state)
{
    (void)state;
    AUTO secret = target();
    AUTO template = TEMPLATE(U(CKA_CLASS, CKO_SECRET_KEY), U(CKA_KEY_TYPE, CKK_AES), B(CKA_WRAP, true),
        B(CKA_UNWRAP, true), S(CKA_VALUE, "an attacker knows this key here!"));
    confine(template);
    AUTO known = NULL;
    ok(lh_rules_create(template, LH_RULES_USER, &known));
    assert_false(lh_attributes_bool(known, CKA_LOCAL, true));
    assert_false(lh_attributes_bool(known, CKA_ALWAYS_SENSITIVE, true));
    assert_false(lh_attributes_bool(known, CKA_NEVER_EXTRACTABLE, true));
    refused(lh_rules_may_wrap(known, secret, &AES_KW, LH_RULES_USER), "key-not-wrappable");
    AUTO fit = guardian();
    AUTO wrapping = TEMPLATE(U(CKA_KEY_TYPE, CKK_AES), B(CKA_WRAP, true));
    confine(wrapping);
    AUTO unwrapped = NULL;
    ok(lh_rules_unwrap(fit, &AES_KW, wrapping, LH_RULES_USER, &unwrapped));
    refused(lh_rules_may_wrap(unwrapped, secret, &AES_KW, LH_RULES_USER), "key-not-wrappable");
}

/* Delaune, Kremer, Steel: the roles one after the other, on the key or on copies of it. */
static void test_roles_in_turn(void **state)
{
    (void)state;
    AUTO wraps = guardian();
    AUTO off = TEMPLATE(B(CKA_WRAP, false), B(CKA_UNWRAP, false));
    AUTO quiet = NULL;
    ok(lh_rules_set(wraps, off, LH_RULES_USER, &quiet));
    AUTO decrypt = TEMPLATE(B(CKA_DECRYPT, true));
    AUTO changed = NULL;
    refused(lh_rules_set(quiet, decrypt, LH_RULES_USER, &changed), "template-inconsistent");
    refused(lh_rules_copy(quiet, decrypt, LH_RULES_USER, &changed), "template-inconsistent");
    refused(lh_rules_copy(wraps, decrypt, LH_RULES_USER, &changed), "template-inconsistent");

    AUTO plain = aes(TEMPLATE(B(CKA_DECRYPT, true), B(CKA_WRAP, false), B(CKA_UNWRAP, false)), 32);
    AUTO no = TEMPLATE(B(CKA_DECRYPT, false));
    AUTO idle = NULL;
    ok(lh_rules_set(plain, no, LH_RULES_USER, &idle));
    const unsigned long later[] = {CKA_WRAP, CKA_UNWRAP};
    for (size_t i = 0; i < 2; i++) {
        AUTO wrap = TEMPLATE(B(later[i], true));
        refused(lh_rules_set(idle, wrap, LH_RULES_USER, &changed), "attribute-read-only");
        refused(lh_rules_copy(idle, wrap, LH_RULES_USER, &changed), "attribute-read-only");
    }
}

/* Two objects of one value, one to wrap and one to decrypt: a wrapping key that can leave is not trusted with
 * anything, so a second life of it by unwrapping gains nothing. */
static void test_two_lives_of_a_wrapping_key(void **state)
{
    (void)state;
    lh_attributes *template = TEMPLATE(B(CKA_WRAP, true), B(CKA_SENSITIVE, true), B(CKA_EXTRACTABLE, true));
    confine(template);
    AUTO mobile = aes(template, 32);
    AUTO secret = target();
    refused(lh_rules_may_wrap(mobile, secret, &AES_KW, LH_RULES_USER), "key-not-wrappable");
    AUTO stay = TEMPLATE(B(CKA_EXTRACTABLE, false));
    AUTO late = NULL;
    ok(lh_rules_set(mobile, stay, LH_RULES_USER, &late)); /* too late */
    refused(lh_rules_may_wrap(late, secret, &AES_KW, LH_RULES_USER), "key-not-wrappable");
}

/* A copy is confined as its original, and a list of mechanisms that comes later does not make a guardian (a
 * copy from before would be free). */
static void test_confined_from_birth(void **state)
{
    (void)state;
    AUTO open = aes(TEMPLATE(B(CKA_WRAP, true), B(CKA_UNWRAP, true)), 32);
    AUTO list = EMPTY_TEMPLATE;
    confine(list);
    AUTO closed = NULL;
    ok(lh_rules_set(open, list, LH_RULES_USER, &closed));
    assert_false(lh_rules_is_guardian(closed));
    AUTO fit = guardian();
    AUTO copy = NULL;
    AUTO nothing = EMPTY_TEMPLATE;
    ok(lh_rules_copy(fit, nothing, LH_RULES_USER, &copy));
    assert_true(lh_rules_is_guardian(copy));
    AUTO more = EMPTY_TEMPLATE;
    const uint64_t wide[] = {CKM_AES_KEY_WRAP, CKM_AES_CBC_PAD};
    add_list(more, CKA_ALLOWED_MECHANISMS, wide, 2);
    AUTO wider = NULL;
    refused(lh_rules_copy(fit, more, LH_RULES_USER, &wider), "attribute-read-only");
    refused(lh_rules_set(fit, more, LH_RULES_USER, &wider), "attribute-read-only");
}

static lh_attributes *closed_of(const lh_attributes *key)
{
    lh_attributes *closed = NULL;
    ok(lh_rules_close(key, &closed));
    return closed;
}

static bool allows(const lh_attributes *key, uint64_t mechanism)
{
    const lh_mechanism row = {.type = mechanism, .name = "", .uses = LH_USE_UNWRAP, .keys = LH_TYPE_AES};
    return lh_ok(lh_rules_may_use(key, &row, LH_USE_UNWRAP, NOW));
}

/* A key that nobody confined becomes a guardian when it first wraps a sensitive key, and stays one. */
static void test_closing(void **state)
{
    (void)state;
    AUTO open = aes(TEMPLATE(B(CKA_WRAP, true), B(CKA_UNWRAP, true), B(CKA_ENCRYPT, false)), 32);
    AUTO secret = target();
    AUTO readable = aes(TEMPLATE(B(CKA_SENSITIVE, false), B(CKA_EXTRACTABLE, true)), 32);
    assert_true(lh_rules_wrap_closes(open, secret));
    assert_false(lh_rules_wrap_closes(open, readable));
    refused(lh_rules_may_wrap(open, secret, &AES_KW, LH_RULES_USER), "key-not-wrappable");
    AUTO closed = closed_of(open);
    assert_true(lh_rules_is_guardian(closed));
    assert_false(lh_rules_can_close(closed));
    assert_false(lh_rules_wrap_closes(closed, secret));
    ok(lh_rules_may_wrap(closed, secret, &AES_KW, LH_RULES_USER));
    refused(lh_rules_may_wrap(closed, secret, &AES_GCM, LH_RULES_USER), "key-not-wrappable");
    assert_true(allows(closed, CKM_AES_KEY_WRAP) && allows(closed, CKM_AES_KEY_WRAP_PAD));
    assert_false(
        allows(closed, CKM_AES_CBC_PAD) || allows(closed, CKM_AES_ECB) || allows(closed, CKM_AES_GCM));
    AUTO weaker = TEMPLATE(U(CKA_KEY_TYPE, CKK_AES), B(CKA_SENSITIVE, false), B(CKA_EXTRACTABLE, true));
    AUTO out = NULL;
    refused(lh_rules_unwrap(closed, &AES_KW, weaker, LH_RULES_USER, &out), "template-inconsistent");
    AUTO wide = EMPTY_TEMPLATE;
    const uint64_t list[] = {CKM_AES_KEY_WRAP, CKM_AES_CBC_PAD};
    add_list(wide, CKA_ALLOWED_MECHANISMS, list, 2);
    AUTO copy = NULL;
    refused(lh_rules_copy(closed, wide, LH_RULES_USER, &out), "attribute-read-only");
    refused(lh_rules_set(closed, wide, LH_RULES_USER, &out), "attribute-read-only");
    AUTO decrypt = TEMPLATE(B(CKA_DECRYPT, true));
    refused(lh_rules_set(closed, decrypt, LH_RULES_USER, &out), "template-inconsistent");
    AUTO nothing = EMPTY_TEMPLATE;
    ok(lh_rules_copy(closed, nothing, LH_RULES_USER, &copy));
    assert_true(lh_rules_is_guardian(copy));
}

/* Closing takes from a list of mechanisms, and adds nothing to it. */
static void test_closing_never_widens(void **state)
{
    (void)state;
    lh_attributes *template = TEMPLATE(B(CKA_WRAP, true), B(CKA_UNWRAP, true));
    const uint64_t list[] = {CKM_AES_CBC_PAD, CKM_AES_KEY_WRAP_KWP};
    add_list(template, CKA_ALLOWED_MECHANISMS, list, 2);
    AUTO open = aes(template, 32);
    AUTO closed = closed_of(open);
    assert_true(allows(closed, CKM_AES_KEY_WRAP_KWP));
    assert_false(allows(closed, CKM_AES_KEY_WRAP) || allows(closed, CKM_AES_CBC_PAD));
    template = TEMPLATE(B(CKA_WRAP, true), B(CKA_UNWRAP, true));
    add_list(template, CKA_ALLOWED_MECHANISMS, list, 1);
    AUTO never = aes(template, 32);
    AUTO out = NULL;
    refused(lh_rules_close(never, &out), "key-not-wrappable");
}

static void never_closes(const lh_attributes *key)
{
    AUTO secret = target();
    AUTO out = NULL;
    assert_false(lh_rules_can_close(key) || lh_rules_wrap_closes(key, secret));
    refused(lh_rules_close(key, &out), "key-not-wrappable");
    refused(lh_rules_may_wrap(key, secret, &AES_KW, LH_RULES_USER), "key-not-wrappable");
}

/* Whoever could have a free copy of it, its value, or another use of it. */
static void test_not_to_be_closed(void **state)
{
    (void)state;
    AUTO open = aes(TEMPLATE(B(CKA_WRAP, true), B(CKA_UNWRAP, true)), 32);
    AUTO nothing = EMPTY_TEMPLATE;
    AUTO copy = NULL;
    AUTO marked = NULL;
    ok(lh_rules_copy(open, nothing, LH_RULES_USER, &copy));
    ok(lh_rules_mark_copied(open, &marked));
    never_closes(copy);
    never_closes(marked);
    AUTO list = EMPTY_TEMPLATE;
    confine(list);
    AUTO late = NULL;
    ok(lh_rules_set(marked, list, LH_RULES_USER, &late));
    never_closes(late);
    AUTO decrypts = aes(TEMPLATE(B(CKA_WRAP, true), B(CKA_DECRYPT, true)), 32);
    never_closes(decrypts);
    AUTO no = TEMPLATE(B(CKA_DECRYPT, false));
    AUTO idle = NULL;
    ok(lh_rules_set(decrypts, no, LH_RULES_USER, &idle));
    never_closes(idle);
    AUTO every = aes(EMPTY_TEMPLATE, 32);
    never_closes(every);
    AUTO mobile = aes(TEMPLATE(B(CKA_WRAP, true), B(CKA_SENSITIVE, true), B(CKA_EXTRACTABLE, true)), 32);
    never_closes(mobile);
    AUTO said = TEMPLATE(U(CKA_CLASS, CKO_SECRET_KEY), U(CKA_KEY_TYPE, CKK_AES), B(CKA_WRAP, true),
        S(CKA_VALUE, "0123456789abcdef0123456789abcdef"));
    AUTO known = NULL;
    ok(lh_rules_create(said, LH_RULES_USER, &known));
    never_closes(known);
    /* called trusted before that was for keys of one's own alone */
    ok(lh_attributes_set_bool(known, CKA_TRUSTED, true));
    never_closes(known);
    AUTO fit = guardian();
    AUTO wraps = TEMPLATE(U(CKA_KEY_TYPE, CKK_AES), B(CKA_WRAP, true), B(CKA_SENSITIVE, true));
    AUTO unwrapped = NULL;
    ok(lh_rules_unwrap(fit, &AES_KW, wraps, LH_RULES_USER, &unwrapped));
    never_closes(unwrapped);
}

/* Re-import of a wrapped key with weaker attributes. */
static void test_reimport_weaker(void **state)
{
    (void)state;
    AUTO fit = guardian();
    AUTO back = NULL;
    AUTO readable = TEMPLATE(U(CKA_KEY_TYPE, CKK_AES), B(CKA_SENSITIVE, false), B(CKA_EXTRACTABLE, true));
    refused(lh_rules_unwrap(fit, &AES_KW, readable, LH_RULES_USER, &back), "template-inconsistent");
    AUTO plain = TEMPLATE(U(CKA_KEY_TYPE, CKK_AES));
    ok(lh_rules_unwrap(fit, &AES_KW, plain, LH_RULES_USER, &back));
    assert_true(lh_attributes_bool(back, CKA_SENSITIVE, false));
    assert_false(lh_attributes_bool(back, CKA_EXTRACTABLE, true));
    assert_false(lh_attributes_bool(back, CKA_LOCAL, true));
    assert_false(lh_attributes_bool(back, CKA_ALWAYS_SENSITIVE, true));
    assert_false(lh_attributes_bool(back, CKA_NEVER_EXTRACTABLE, true));
    /* an UNWRAP_TEMPLATE of the attacker's own making does not open it */
    lh_attributes *template = TEMPLATE(B(CKA_WRAP, true), B(CKA_UNWRAP, true));
    confine(template);
    add_template(template, CKA_UNWRAP_TEMPLATE, TEMPLATE(B(CKA_SENSITIVE, false)));
    AUTO bent = aes(template, 32);
    AUTO opened = NULL;
    refused(lh_rules_unwrap(bent, &AES_KW, plain, LH_RULES_USER, &opened), "template-inconsistent");
    /* a key with all roles, which wraps nothing sensitive, gives back what was readable */
    AUTO every = aes(EMPTY_TEMPLATE, 32);
    ok(lh_rules_unwrap(every, &AES_KW, readable, LH_RULES_USER, &opened));
}

/* Unwrapping only the first byte of a key, and trying its 256 values: the length must be the whole. */
static void test_shortened_import(void **state)
{
    (void)state;
    AUTO fit = guardian();
    AUTO short_one = TEMPLATE(U(CKA_KEY_TYPE, CKK_GENERIC_SECRET), U(CKA_VALUE_LEN, 1));
    AUTO key = NULL;
    ok(lh_rules_unwrap(fit, &AES_KW, short_one, LH_RULES_USER, &key));
    ok(lh_rules_take_part(key, CKA_VALUE, LH_BYTES_STR("0123456789abcdef"), true));
    const lh_rules_completion facts = {{0}, LH_BYTES("abc", 3)};
    refused(lh_rules_complete(key, &facts), "attribute-value-invalid");
}

/* Clulow: ECB and CBC have no integrity; Bardou and others: padding oracles; GCM with the attacker's IV. */
static void test_mechanisms_without_integrity(void **state)
{
    (void)state;
    AUTO fit = guardian();
    AUTO secret = target();
    const lh_mechanism *const rows[] = {&AES_ECB, &AES_CBC_PAD, &AES_GCM};
    for (size_t i = 0; i < 3; i++) {
        refused(lh_rules_may_wrap(fit, secret, rows[i], LH_RULES_USER), "key-not-wrappable");
        refused(lh_rules_may_use(fit, rows[i], LH_USE_UNWRAP, NOW), "mechanism-invalid");
        refused(lh_rules_may_use(fit, rows[i], LH_USE_WRAP, NOW), "mechanism-invalid");
    }
}

/* Clulow 3.4 (weaker algorithms and keys). */
static void test_weaker_wrapping_key(void **state)
{
    (void)state;
    lh_attributes *template = TEMPLATE(B(CKA_WRAP, true));
    confine(template);
    AUTO weak = aes(template, 16);
    AUTO strong = target();
    refused(lh_rules_may_wrap(weak, strong, &AES_KW, LH_RULES_USER), "wrapping-key-size-range");
    AUTO equal = aes(TEMPLATE(B(CKA_SENSITIVE, true), B(CKA_EXTRACTABLE, true)), 16);
    ok(lh_rules_may_wrap(weak, equal, &AES_KW, LH_RULES_USER));
}

/* Tookan a3, a4, a5: reading sensitive and unextractable keys; making them neither. */
static void test_a3_to_a5_flags(void **state)
{
    (void)state;
    lh_bytes value;
    AUTO secret = target();
    AUTO fixed = aes(TEMPLATE(B(CKA_SENSITIVE, false), B(CKA_EXTRACTABLE, false)), 16);
    assert_int_equal(lh_rules_read(secret, CKA_VALUE, &value), LH_RULES_SENSITIVE);
    assert_int_equal(lh_rules_read(fixed, CKA_VALUE, &value), LH_RULES_SENSITIVE);
    AUTO every = aes(EMPTY_TEMPLATE, 32);
    refused(lh_rules_may_wrap(every, fixed, &AES_KW, LH_RULES_USER), "key-unextractable");
    AUTO open = TEMPLATE(B(CKA_SENSITIVE, false));
    AUTO loose = TEMPLATE(B(CKA_EXTRACTABLE, true));
    AUTO changed = NULL;
    refused(lh_rules_set(secret, open, LH_RULES_USER, &changed), "attribute-read-only");
    refused(lh_rules_copy(secret, open, LH_RULES_USER, &changed), "attribute-read-only");
    refused(lh_rules_set(fixed, loose, LH_RULES_USER, &changed), "attribute-read-only");
    refused(lh_rules_copy(fixed, loose, LH_RULES_USER, &changed), "attribute-read-only");
    /* guessing by search is reading too */
    uint8_t guess[32];
    memset(guess, 0x5a, sizeof(guess));
    AUTO search = EMPTY_TEMPLATE;
    ok(lh_attributes_set(search, CKA_VALUE, LH_BYTES(guess, 32)));
    assert_false(lh_rules_match(secret, search));
    refused(lh_rules_may_digest(secret), "key-indigestible");
}

static void derive_refused(const lh_attributes *base, const lh_mechanism *row, size_t natural,
    lh_attributes *template, const char *reason)
{
    const lh_rules_derivation from = {.base = base, .natural_len = natural};
    lh_attributes *ret = NULL;
    refused(lh_rules_derive(&from, row, template, LH_RULES_USER, &ret), reason);
    lh_attributes_free(template);
}

/* Clulow 3.5 (key part by key part): extraction, truncation, exclusive or. */
static void test_derivation_by_parts(void **state)
{
    (void)state;
    AUTO base = aes(TEMPLATE(B(CKA_DERIVE, true)), 32);
    derive_refused(base, &EXTRACT, 0, TEMPLATE(U(CKA_VALUE_LEN, 1)), "key-size-range");
    derive_refused(base, &EXTRACT, 0, TEMPLATE(U(CKA_VALUE_LEN, 15)), "key-size-range");
    derive_refused(base, &XOR, 1, EMPTY_TEMPLATE, "key-size-range");
    /* 15 bytes of data before the key, cut after 16 */
    derive_refused(base, &DATA_AND_BASE, 47, TEMPLATE(U(CKA_VALUE_LEN, 16)), "key-size-range");
    derive_refused(
        base, &EXTRACT, 0, TEMPLATE(U(CKA_VALUE_LEN, 16), B(CKA_SENSITIVE, false)), "template-inconsistent");
    derive_refused(
        base, &EXTRACT, 0, TEMPLATE(U(CKA_VALUE_LEN, 16), B(CKA_EXTRACTABLE, true)), "template-inconsistent");
    /* first put data before it, then extract */
    const lh_rules_derivation from = {.base = base, .natural_len = 47};
    AUTO whole = TEMPLATE(B(CKA_DERIVE, true));
    AUTO mixed = NULL;
    ok(lh_rules_derive(&from, &DATA_AND_BASE, whole, LH_RULES_USER, &mixed));
    assert_true(lh_attributes_bool(mixed, CKA_SENSITIVE, false));
    assert_false(lh_attributes_bool(mixed, CKA_EXTRACTABLE, true));
    derive_refused(mixed, &EXTRACT, 0, TEMPLATE(U(CKA_VALUE_LEN, 16)), "key-function-not-permitted");
}

/* The sensitive key as the second of two that are joined. */
static void test_derivation_hidden_other(void **state)
{
    (void)state;
    AUTO known = aes(TEMPLATE(B(CKA_DERIVE, true), B(CKA_EXTRACTABLE, true)), 16);
    AUTO secret = target();
    const lh_attributes *const others[] = {secret};
    const lh_rules_derivation from = {.base = known, .others = others, .n_others = 1};
    AUTO readable = TEMPLATE(B(CKA_SENSITIVE, false), B(CKA_EXTRACTABLE, true));
    AUTO ret = NULL;
    refused(lh_rules_derive(&from, &BASE_AND_KEY, readable, LH_RULES_USER, &ret), "template-inconsistent");
    AUTO whole = TEMPLATE(U(CKA_VALUE_LEN, 48));
    AUTO joined = NULL;
    ok(lh_rules_derive(&from, &BASE_AND_KEY, whole, LH_RULES_USER, &joined));
    assert_true(lh_rules_visible(joined, LH_RULES_USER) && lh_attributes_bool(joined, CKA_SENSITIVE, false));
    AUTO cut = TEMPLATE(U(CKA_VALUE_LEN, 17));
    refused(lh_rules_derive(&from, &BASE_AND_KEY, cut, LH_RULES_USER, &ret), "key-size-range");
}

/* Encrypting data with the base gives the derived key: not where the base may encrypt for anybody. */
static void test_derivation_by_encryption(void **state)
{
    (void)state;
    AUTO both = aes(TEMPLATE(B(CKA_DERIVE, true), B(CKA_ENCRYPT, true)), 32);
    derive_refused(both, &ECB_DATA, 32, EMPTY_TEMPLATE, "key-function-not-permitted");
    AUTO only = aes(TEMPLATE(B(CKA_DERIVE, true)), 32);
    const lh_rules_derivation from = {.base = only, .natural_len = 32};
    AUTO nothing = EMPTY_TEMPLATE;
    AUTO derived = NULL;
    ok(lh_rules_derive(&from, &ECB_DATA, nothing, LH_RULES_USER, &derived));
    assert_true(lh_attributes_bool(derived, CKA_ALWAYS_SENSITIVE, false));
}

/* The same with the roles given in turn, or to two copies. */
static void test_derivation_by_encryption_in_turn(void **state)
{
    (void)state;
    AUTO derives = aes(TEMPLATE(B(CKA_DERIVE, true)), 32);
    AUTO idle = aes(
        TEMPLATE(B(CKA_ENCRYPT, false), B(CKA_DECRYPT, false), B(CKA_WRAP, false), B(CKA_UNWRAP, false)), 32);
    AUTO encrypt = TEMPLATE(B(CKA_ENCRYPT, true));
    AUTO decrypt = TEMPLATE(B(CKA_DECRYPT, true));
    AUTO derive = TEMPLATE(B(CKA_DERIVE, true));
    AUTO changed = NULL;
    refused(lh_rules_set(derives, encrypt, LH_RULES_USER, &changed), "template-inconsistent");
    refused(lh_rules_copy(derives, decrypt, LH_RULES_USER, &changed), "template-inconsistent");
    refused(lh_rules_set(idle, derive, LH_RULES_USER, &changed), "template-inconsistent");
    refused(lh_rules_copy(idle, derive, LH_RULES_USER, &changed), "template-inconsistent");
    ok(lh_rules_set(idle, encrypt, LH_RULES_USER, &changed));
}

/* Attributes that only the token sets. */
static void test_claims(void **state)
{
    (void)state;
    const unsigned long own[] = {CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE, CKA_UNIQUE_ID};
    AUTO made = NULL;
    for (size_t i = 0; i < 4; i++) {
        AUTO template = TEMPLATE(B(own[i], true), U(CKA_VALUE_LEN, 32));
        refused(lh_rules_generate(&AES_GEN, template, LH_RULES_USER, &made), "attribute-read-only");
    }
    AUTO history = TEMPLATE(U(LH_RULES_HISTORY, LH_HISTORY_CONFINED), U(CKA_VALUE_LEN, 32));
    refused(lh_rules_generate(&AES_GEN, history, LH_RULES_USER, &made), "attribute-type-invalid");
    AUTO trusted = TEMPLATE(B(CKA_TRUSTED, true), U(CKA_VALUE_LEN, 32));
    refused(lh_rules_generate(&AES_GEN, trusted, LH_RULES_USER, &made), "attribute-read-only");
    AUTO one = TEMPLATE(U(CKA_MODULUS_BITS, 2048), S(CKA_PUBLIC_EXPONENT, "\1"));
    AUTO nothing = EMPTY_TEMPLATE;
    AUTO private = NULL;
    refused(lh_rules_generate_pair(&RSA_GEN, one, nothing, LH_RULES_USER, &made, &private),
        "attribute-value-invalid");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a1_wrap_decrypt_symmetric),
        cmocka_unit_test(test_a2_wrap_decrypt_asymmetric),
        cmocka_unit_test(test_a2_role_given_later),
        cmocka_unit_test(test_trojan_public_key),
        cmocka_unit_test(test_known_wrapping_key),
        cmocka_unit_test(test_roles_in_turn),
        cmocka_unit_test(test_two_lives_of_a_wrapping_key),
        cmocka_unit_test(test_confined_from_birth),
        cmocka_unit_test(test_closing),
        cmocka_unit_test(test_closing_never_widens),
        cmocka_unit_test(test_not_to_be_closed),
        cmocka_unit_test(test_reimport_weaker),
        cmocka_unit_test(test_shortened_import),
        cmocka_unit_test(test_mechanisms_without_integrity),
        cmocka_unit_test(test_weaker_wrapping_key),
        cmocka_unit_test(test_a3_to_a5_flags),
        cmocka_unit_test(test_derivation_by_parts),
        cmocka_unit_test(test_derivation_hidden_other),
        cmocka_unit_test(test_derivation_by_encryption),
        cmocka_unit_test(test_derivation_by_encryption_in_turn),
        cmocka_unit_test(test_claims),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
