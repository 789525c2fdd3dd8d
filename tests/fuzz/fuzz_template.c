/* Any two templates off the wire into every rule about objects. Bytes: user, mechanism, use, 16-bit length of
 * the first template, both templates. What the rules let through must keep their promises. */
#include "base/secret.h"
#include "leasehold/pkcs11-3.h"
#include "object/rules.h"

#include <stdlib.h>

#define HEAD 5u
#define WALL INT64_C(1800000000)
#define AUTO LH_AUTO(lh_attributes_freep) lh_attributes *

static void require(bool holds)
{
    if (!holds)
        abort();
}

static bool hidden(const lh_attributes *key)
{
    return lh_attributes_bool(key, CKA_SENSITIVE, true) || !lh_attributes_bool(key, CKA_EXTRACTABLE, false);
}

/* What every object keeps that the rules made. */
static void check_object(const lh_attributes *object, enum lh_rules_user user)
{
    const uint64_t class = lh_attributes_ulong(object, CKA_CLASS, UINT64_MAX);
    require(class != UINT64_MAX && lh_rules_visible(object, user));
    lh_bytes value;
    require(lh_rules_read(object, LH_RULES_HISTORY, &value) == LH_RULES_NONE);
    if (class != CKO_PRIVATE_KEY && class != CKO_SECRET_KEY)
        return;
    const unsigned long secrets[] = {CKA_VALUE, CKA_PRIVATE_EXPONENT, CKA_PRIME_1, CKA_SEED};
    for (size_t i = 0; i < LH_ARRAY_LEN(secrets); i++)
        require(!hidden(object) || lh_rules_read(object, secrets[i], &value) != LH_RULES_VALUE);
    require(!lh_attributes_bool(object, CKA_ALWAYS_SENSITIVE, false) ||
            lh_attributes_bool(object, CKA_SENSITIVE, false));
    require(!lh_attributes_bool(object, CKA_NEVER_EXTRACTABLE, false) ||
            !lh_attributes_bool(object, CKA_EXTRACTABLE, true));
}

static void check_changed(const lh_attributes *before, const lh_attributes *after)
{
    require(
        !lh_attributes_bool(before, CKA_SENSITIVE, false) || lh_attributes_bool(after, CKA_SENSITIVE, false));
    require(lh_attributes_bool(before, CKA_EXTRACTABLE, false) ||
            !lh_attributes_bool(after, CKA_EXTRACTABLE, false));
    require(lh_attributes_bool(before, CKA_WRAP, false) || !lh_attributes_bool(after, CKA_WRAP, false));
    const uint64_t history = lh_attributes_ulong(before, LH_RULES_HISTORY, 0);
    require((lh_attributes_ulong(after, LH_RULES_HISTORY, 0) & history) == history);
    require(lh_rules_is_guardian(after) || !lh_rules_is_guardian(before));
}

static void use(const lh_attributes *a, const lh_attributes *b, const lh_mechanism *row, unsigned use_bit)
{
    LH_IGNORE(lh_rules_may_use(a, row, use_bit, WALL)); /* any answer will do */
    LH_IGNORE(lh_rules_may_digest(a));
    LH_IGNORE(lh_rules_may_destroy(a, LH_RULES_SO));
    (void)lh_rules_match(a, b);
    (void)lh_rules_asks_login(a);
    if (lh_ok(lh_rules_may_wrap(a, b, row, LH_RULES_USER)))
        require(!lh_attributes_bool(b, CKA_SENSITIVE, true) || lh_rules_is_guardian(a));
    if (lh_ok(lh_rules_may_wrap(a, b, row, LH_RULES_SO)))
        require(!lh_attributes_bool(b, CKA_SENSITIVE, true));
}

static void change(const lh_attributes *object, const lh_attributes *template, enum lh_rules_user user)
{
    AUTO changed = NULL;
    if (lh_ok(lh_rules_set(object, template, user, &changed)))
        check_changed(object, changed);
    AUTO copy = NULL;
    if (lh_ok(lh_rules_copy(object, template, user, &copy)))
        check_changed(object, copy);
}

static void out_of(
    const lh_attributes *key, const lh_attributes *template, const lh_mechanism *row, enum lh_rules_user user)
{
    AUTO unwrapped = NULL;
    if (lh_ok(lh_rules_unwrap(key, row, template, user, &unwrapped))) {
        check_object(unwrapped, user);
        require(!lh_rules_is_guardian(key) || lh_attributes_bool(unwrapped, CKA_SENSITIVE, false));
        require(!lh_rules_is_guardian(unwrapped));
    }
    const lh_attributes *const others[] = {key};
    const lh_rules_derivation from = {.base = key, .others = others, .n_others = 1, .natural_len = 32};
    AUTO derived = NULL;
    if (lh_ok(lh_rules_derive(&from, row, template, user, &derived)))
        check_object(derived, user);
    AUTO shared = NULL;
    if (lh_ok(lh_rules_encapsulate(key, LH_USE_DECAPSULATE, template, user, &shared)))
        check_object(shared, user);
}

static void finish(lh_attributes *object)
{
    lh_rules_parts parts;
    lh_rules_key_parts(object, &parts);
    LH_IGNORE(lh_rules_take_part(object, CKA_VALUE, LH_BYTES_STR("0123456789abcdef"), true));
    LH_IGNORE(lh_rules_take_part(object, CKA_MODULUS, LH_BYTES_STR("0123456789abcdef"), false));
    const lh_rules_completion facts = {.check_value = LH_BYTES("abc", 3)};
    LH_IGNORE(lh_rules_complete(object, &facts));
}

static void made(
    lh_attributes *object, const lh_attributes *template, const lh_mechanism *row, enum lh_rules_user user)
{
    check_object(object, user);
    finish(object);
    change(object, template, user);
    use(object, object, row, LH_USE_WRAP);
    out_of(object, template, row, user);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD || size > 131072)
        return 0;
    const enum lh_rules_user user = (enum lh_rules_user)(data[0] % 3);
    const lh_mechanism *row = lh_mechanism_at(data[1] % lh_mechanism_count());
    require(row != NULL);
    const unsigned use_bit = 1U << (data[2] % 14);
    size_t len = (size_t)data[3] << 8 | data[4];
    if (len > size - HEAD)
        len = size - HEAD;
    AUTO first = NULL;
    AUTO second = NULL;
    if (!lh_ok(lh_attributes_parse(LH_BYTES(data + HEAD, len), &first)) ||
        !lh_ok(lh_attributes_parse(LH_BYTES(data + HEAD + len, size - HEAD - len), &second)))
        return 0;
    use(first, second, row, use_bit);
    AUTO created = NULL;
    if (lh_ok(lh_rules_create(first, user, &created)))
        made(created, second, row, user);
    AUTO generated = NULL;
    if (lh_ok(lh_rules_generate(row, first, user, &generated)))
        made(generated, second, row, user);
    AUTO public = NULL;
    AUTO private = NULL;
    if (lh_ok(lh_rules_generate_pair(row, first, second, user, &public, &private))) {
        made(public, second, row, user);
        made(private, second, row, user);
    }
    return 0;
}
