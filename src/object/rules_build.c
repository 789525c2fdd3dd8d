/* What all new objects have in common: the checks of a template against the table, and the defaults. */
#include "object/rules_internal.h"

#include "codec/bin.h"
#include "leasehold/leasehold.h"
#include "leasehold/pkcs11-3.h"

#define DATE_SIZE 8u

lh_err lh_rules_shape_of(const lh_attributes *object, lh_rules_shape *ret)
{
    const uint64_t class = lh_attributes_ulong(object, CKA_CLASS, LH_RULES_NOT_SAID);
    if (class == LH_RULES_NOT_SAID)
        return LH_REFUSE(LH_E_INVALID, "template-incomplete", "the template has no CKA_CLASS");
    const uint64_t certificate = lh_attributes_ulong(object, CKA_CERTIFICATE_TYPE, LH_RULES_NOT_SAID);
    if (class == CKO_CERTIFICATE && certificate == LH_RULES_NOT_SAID)
        return LH_REFUSE(LH_E_INVALID, "template-incomplete", "the template has no CKA_CERTIFICATE_TYPE");
    lh_rules_shape shape = {lh_rule_kind_of(class, certificate), 0, LH_RULES_NOT_SAID};
    if (!shape.kind)
        return LH_REFUSE(LH_E_INVALID, "attribute-value-invalid",
            "objects of class 0x%llx, certificate type 0x%llx, are not kept", (unsigned long long)class,
            (unsigned long long)certificate);
    if (shape.kind & (LH_KIND_KEY | LH_KIND_DOMAIN)) {
        shape.ck_type = lh_attributes_ulong(object, CKA_KEY_TYPE, LH_RULES_NOT_SAID);
        if (shape.ck_type == LH_RULES_NOT_SAID)
            return LH_REFUSE(LH_E_INVALID, "template-incomplete", "the template has no CKA_KEY_TYPE");
        shape.key = lh_key_type_of((unsigned long)shape.ck_type);
        const uint32_t pairs = LH_TYPE_RSA | LH_TYPE_EC | LH_TYPE_EDWARDS | LH_TYPE_MONTGOMERY | LH_TYPE_DH |
                               LH_TYPE_ML_KEM | LH_TYPE_ML_DSA | LH_TYPE_SLH_DSA;
        const uint32_t fit = shape.kind == LH_KIND_SECRET   ? ~pairs
                             : shape.kind == LH_KIND_DOMAIN ? (uint32_t)LH_TYPE_DH
                                                            : pairs;
        if (!shape.key)
            return LH_REFUSE(LH_E_INVALID, "attribute-value-invalid", "keys of type 0x%llx are not kept",
                (unsigned long long)shape.ck_type);
        if (!(shape.key & fit))
            return LH_REFUSE(LH_E_INVALID, "template-inconsistent",
                "objects of class 0x%llx have no keys of type 0x%llx", (unsigned long long)class,
                (unsigned long long)shape.ck_type);
    }
    *ret = shape;
    return LH_SUCCESS;
}

static lh_err check_attribute(
    const lh_attribute *a, const lh_rules_shape *shape, unsigned when, enum lh_rules_user user)
{
    const lh_rule_row *row = lh_rule_find(a->type, shape->kind, shape->key);
    if (!row) {
        if (lh_rule_is_nss(a->type) && shape->kind != LH_KIND_PROFILE)
            return LH_SUCCESS;
        return LH_REFUSE(LH_E_INVALID, "attribute-type-invalid", "such objects have no attribute 0x%08lx",
            (unsigned long)a->type);
    }
    if (!(row->said & when))
        return LH_REFUSE(LH_E_INVALID, "attribute-read-only", "attribute 0x%08lx cannot be said here",
            (unsigned long)a->type);
    if ((row->flags & LH_RULE_SO) && a->value.len == 1 && a->value.data[0] && user != LH_RULES_SO)
        return LH_REFUSE(LH_E_DENIED, "attribute-read-only",
            "attribute 0x%08lx becomes true by the security officer alone", (unsigned long)a->type);
    return LH_SUCCESS;
}

lh_err lh_rules_check_said(
    const lh_attributes *template, const lh_rules_shape *shape, unsigned when, enum lh_rules_user user)
{
    for (size_t i = 0; i < lh_attributes_count(template); i++) {
        const lh_attribute a = lh_attributes_at(template, i);
        LH_TRY(check_attribute(&a, shape, when, user));
    }
    return LH_SUCCESS;
}

/* --- defaults --- */

static const unsigned long roles[] = {CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_SIGN_RECOVER, CKA_VERIFY,
    CKA_VERIFY_RECOVER, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE, CKA_ENCAPSULATE, CKA_DECAPSULATE};

static bool is_role(unsigned long type)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(roles); i++)
        if (roles[i] == type)
            return true;
    return false;
}

static bool names_any_role(const lh_attributes *naming)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(roles); i++)
        if (lh_attributes_bool(naming, roles[i], false))
            return true;
    return false;
}

/* Whether keys of that type are commonly used so. */
static bool is_natural(unsigned long role, uint32_t key)
{
    const uint32_t ciphers =
        LH_TYPE_RSA | LH_TYPE_AES | LH_TYPE_CHACHA20 | LH_TYPE_AES_XTS | LH_TYPE_DES3 | LH_TYPE_RC4;
    const uint32_t signers = LH_TYPE_RSA | LH_TYPE_EC | LH_TYPE_EDWARDS | LH_TYPE_AES | LH_TYPE_GENERIC |
                             LH_TYPE_HMAC | LH_TYPE_ML_DSA | LH_TYPE_SLH_DSA;
    uint32_t keys = 0;
    switch (role) {
    case CKA_ENCRYPT:
    case CKA_DECRYPT: keys = ciphers; break;
    case CKA_SIGN:
    case CKA_VERIFY: keys = signers; break;
    case CKA_SIGN_RECOVER:
    case CKA_VERIFY_RECOVER: keys = LH_TYPE_RSA; break;
    case CKA_WRAP:
    case CKA_UNWRAP: keys = LH_TYPE_RSA | LH_TYPE_AES; break;
    case CKA_ENCAPSULATE:
    case CKA_DECAPSULATE: keys = LH_TYPE_ML_KEM; break;
    case CKA_DERIVE: keys = LH_TYPE_MONTGOMERY | LH_TYPE_DH | LH_TYPE_HKDF; break;
    default: break;
    }
    return (keys & key) != 0;
}

/* Who names wrapping or (of a cipher's key) deriving wants a key for that alone; who names no role at all
 * wants what is common. */
static bool default_role(unsigned long role, const lh_rules_order *order, const lh_rules_shape *shape)
{
    const lh_attributes *naming = order->naming ? order->naming : order->template;
    if (lh_attributes_bool(naming, CKA_WRAP, false) || lh_attributes_bool(naming, CKA_UNWRAP, false))
        return false;
    if (shape->kind == LH_KIND_SECRET && (shape->key & LH_TYPE_AES) &&
        lh_attributes_bool(naming, CKA_DERIVE, false))
        return false;
    if (role == CKA_DERIVE && shape->kind == LH_KIND_PRIVATE && shape->key == LH_TYPE_EC)
        return !names_any_role(naming);
    if (role == CKA_DERIVE && shape->kind == LH_KIND_PUBLIC)
        return false;
    return is_natural(role, shape->key);
}

/* SENSITIVE and EXTRACTABLE: protected, but the specification's own default (not sensitive) for a secret key
 * of which somebody says that it is extractable. */
static bool default_sensitive(const lh_rules_order *order, const lh_rules_shape *shape)
{
    if (order->when == LH_WHEN_UNWRAP || shape->kind == LH_KIND_PRIVATE)
        return true;
    return !lh_attributes_bool(order->template, CKA_EXTRACTABLE, false);
}

static bool default_by_rule(unsigned long type, const lh_rules_order *order, const lh_rules_shape *shape)
{
    if (is_role(type))
        return default_role(type, order, shape);
    return type == CKA_SENSITIVE && default_sensitive(order, shape);
}

static bool default_private(const lh_rules_order *order, const lh_rules_shape *shape)
{
    if (shape->kind & LH_KIND_HIDDEN_KEY)
        return true;
    return shape->kind == LH_KIND_DATA && order->user == LH_RULES_USER;
}

static lh_err add_default(
    lh_attributes *object, const lh_rule_row *row, const lh_rules_order *order, const lh_rules_shape *shape)
{
    switch (row->fallback) {
    case LH_DEFAULT_NONE: return LH_SUCCESS;
    case LH_DEFAULT_FALSE: return lh_attributes_set_bool(object, row->type, false);
    case LH_DEFAULT_TRUE: return lh_attributes_set_bool(object, row->type, true);
    case LH_DEFAULT_EMPTY: return lh_attributes_set(object, row->type, LH_BYTES_NONE);
    case LH_DEFAULT_ZERO: return lh_attributes_set_ulong(object, row->type, 0);
    case LH_DEFAULT_SHA1: return lh_attributes_set_ulong(object, row->type, CKM_SHA_1);
    case LH_DEFAULT_PRIVATE: return lh_attributes_set_bool(object, row->type, default_private(order, shape));
    case LH_DEFAULT_RULE:
        return lh_attributes_set_bool(object, row->type, default_by_rule(row->type, order, shape));
    }
    return LH_RAISE(LH_E_INTERNAL, row->fallback);
}

static lh_err add_defaults(lh_attributes *object, const lh_rules_order *order, const lh_rules_shape *shape)
{
    size_t count = 0;
    const lh_rule_row *rows = lh_rule_table(&count);
    for (size_t i = 0; i < count; i++) {
        const lh_rule_row *row = &rows[i];
        if (!(row->kinds & shape->kind) || (row->keys && !(row->keys & shape->key)))
            continue;
        if (lh_attributes_has(object, row->type))
            continue;
        if (row->needed & order->when)
            return LH_REFUSE(LH_E_INVALID, "template-incomplete", "the template has no attribute 0x%08lx",
                (unsigned long)row->type);
        LH_TRY(add_default(object, row, order, shape));
    }
    return LH_SUCCESS;
}

static lh_err add_said(lh_attributes *object, const lh_attributes *from)
{
    for (size_t i = 0; i < lh_attributes_count(from); i++) {
        const lh_attribute a = lh_attributes_at(from, i);
        if (a.type == CKA_ALLOWED_MECHANISMS && a.value.len == 0)
            continue; /* no list is no limit */
        LH_TRY(a.secret ? lh_attributes_set_secret(object, a.type, a.value)
                        : lh_attributes_set(object, a.type, a.value));
    }
    return LH_SUCCESS;
}

static lh_err add_forced(lh_attributes *object, const lh_attributes *forced)
{
    for (size_t i = 0; i < lh_attributes_count(forced); i++) {
        const lh_attribute a = lh_attributes_at(forced, i);
        lh_bytes said = LH_BYTES_NONE;
        if (!lh_attributes_get(object, a.type, &said))
            LH_TRY(lh_attributes_set(object, a.type, a.value));
        else if (!lh_bytes_equal(said, a.value))
            return LH_REFUSE(LH_E_INVALID, "template-inconsistent",
                "attribute 0x%08lx has to have another value here", (unsigned long)a.type);
    }
    return LH_SUCCESS;
}

/* --- what must fit together --- */

static lh_err check_dates(const lh_attributes *object)
{
    lh_bytes start = LH_BYTES_NONE;
    lh_bytes end = LH_BYTES_NONE;
    (void)lh_attributes_get(object, CKA_START_DATE, &start);
    (void)lh_attributes_get(object, CKA_END_DATE, &end);
    if (start.len == DATE_SIZE && end.len == DATE_SIZE && memcmp(start.data, end.data, DATE_SIZE) > 0)
        return LH_REFUSE(LH_E_INVALID, "template-inconsistent", "CKA_END_DATE is before CKA_START_DATE");
    return LH_SUCCESS;
}

static lh_err check_key(const lh_attributes *key)
{
    if (lh_attributes_bool(key, CKA_ALWAYS_AUTHENTICATE, false) &&
        !lh_attributes_bool(key, CKA_PRIVATE, false))
        return LH_REFUSE(LH_E_INVALID, "template-inconsistent",
            "CKA_ALWAYS_AUTHENTICATE is only for objects with CKA_PRIVATE");
    if (!lh_attributes_has(key, CKA_LEASEHOLD_USES))
        return LH_SUCCESS;
    const uint64_t uses = lh_attributes_ulong(key, CKA_LEASEHOLD_USES, 0);
    if (uses == 0 || uses == UINT64_MAX)
        return LH_REFUSE(LH_E_INVALID, "attribute-value-invalid", "CKA_LEASEHOLD_USES is a number from 1 up");
    if (lh_attributes_bool(key, CKA_EXTRACTABLE, false))
        return LH_REFUSE(LH_E_INVALID, "template-inconsistent",
            "a key whose uses are counted (CKA_LEASEHOLD_USES) cannot be extractable");
    return LH_SUCCESS;
}

lh_bytes lh_rules_stripped(lh_bytes integer)
{
    while (integer.len && integer.data[0] == 0)
        integer = LH_BYTES(integer.data + 1, integer.len - 1);
    return integer;
}

/* An exponent of 1 leaves what is wrapped as it is. */
static lh_err check_exponent(const lh_attributes *key)
{
    lh_bytes value = LH_BYTES_NONE;
    if (!lh_attributes_get(key, CKA_PUBLIC_EXPONENT, &value))
        return LH_SUCCESS;
    value = lh_rules_stripped(value);
    if (value.len == 0 || !(value.data[value.len - 1] & 1) || (value.len == 1 && value.data[0] < 3))
        return LH_REFUSE(
            LH_E_INVALID, "attribute-value-invalid", "CKA_PUBLIC_EXPONENT is odd and at least 3");
    return LH_SUCCESS;
}

lh_err lh_rules_check_whole(const lh_attributes *object, const lh_rules_shape *shape)
{
    LH_TRY(check_dates(object));
    if (shape->key == LH_TYPE_RSA)
        LH_TRY(check_exponent(object));
    if (shape->kind & LH_KIND_KEY)
        LH_TRY(check_key(object));
    lh_bytes value = LH_BYTES_NONE;
    lh_bytes url = LH_BYTES_NONE;
    if (shape->kind == LH_KIND_X509) {
        (void)lh_attributes_get(object, CKA_VALUE, &value);
        (void)lh_attributes_get(object, CKA_URL, &url);
        if (value.len == 0 && url.len == 0)
            return LH_REFUSE(LH_E_INVALID, "template-incomplete",
                "a certificate has CKA_VALUE or CKA_URL; this has neither");
        if (lh_attributes_ulong(object, CKA_CERTIFICATE_CATEGORY, 0) > 3)
            return LH_REFUSE(LH_E_INVALID, "attribute-value-invalid", "CKA_CERTIFICATE_CATEGORY is 0 to 3");
    }
    return LH_SUCCESS;
}

static lh_err set_class(lh_attributes *object, const lh_rules_shape *shape)
{
    static const struct {
        unsigned kind;
        uint64_t class;
    } classes[] = {
        {LH_KIND_DATA, CKO_DATA},
        {LH_KIND_PUBLIC, CKO_PUBLIC_KEY},
        {LH_KIND_PRIVATE, CKO_PRIVATE_KEY},
        {LH_KIND_SECRET, CKO_SECRET_KEY},
        {LH_KIND_DOMAIN, CKO_DOMAIN_PARAMETERS},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(classes); i++)
        if (classes[i].kind == shape->kind)
            LH_TRY(lh_attributes_set_ulong(object, CKA_CLASS, classes[i].class));
    if (shape->ck_type != LH_RULES_NOT_SAID)
        LH_TRY(lh_attributes_set_ulong(object, CKA_KEY_TYPE, shape->ck_type));
    return LH_SUCCESS;
}

lh_err lh_rules_build(const lh_rules_order *order, const lh_rules_shape *shape, lh_attributes **ret)
{
    LH_TRY(lh_rules_check_said(order->template, shape, order->when, order->user));
    LH_AUTO(lh_attributes_freep) lh_attributes *object = NULL;
    LH_TRY(lh_attributes_new(&object));
    LH_TRY(add_said(object, order->template));
    LH_TRY(set_class(object, shape));
    if (order->forced)
        LH_TRY(add_forced(object, order->forced));
    LH_TRY(add_defaults(object, order, shape));
    LH_TRY(lh_rules_check_whole(object, shape));
    if (lh_attributes_bool(object, CKA_PRIVATE, false) && order->user != LH_RULES_USER)
        return LH_REFUSE(LH_E_DENIED, "user-not-logged-in", "private objects are made by the user alone");
    *ret = LH_TAKE(object);
    return LH_SUCCESS;
}

lh_err lh_rules_set_origin(lh_attributes *key, bool local, bool clean, uint64_t mechanism)
{
    LH_TRY(lh_attributes_set_bool(key, CKA_LOCAL, local));
    if (lh_attributes_ulong(key, CKA_CLASS, LH_RULES_NOT_SAID) == CKO_DOMAIN_PARAMETERS)
        return LH_SUCCESS;
    LH_TRY(lh_attributes_set_ulong(key, CKA_KEY_GEN_MECHANISM, mechanism));
    const uint64_t class = lh_attributes_ulong(key, CKA_CLASS, LH_RULES_NOT_SAID);
    const unsigned kind = lh_rule_kind_of(class, LH_RULES_NOT_SAID);
    uint64_t history = lh_rules_history_of(key) | lh_rules_roles_of(key, kind);
    if (lh_rules_is_confined(key))
        history |= LH_HISTORY_CONFINED;
    LH_TRY(lh_attributes_set_ulong(key, LH_RULES_HISTORY, history));
    if (!(kind & LH_KIND_HIDDEN_KEY))
        return LH_SUCCESS;
    LH_TRY(lh_attributes_set_bool(
        key, CKA_ALWAYS_SENSITIVE, clean && lh_attributes_bool(key, CKA_SENSITIVE, false)));
    LH_TRY(lh_attributes_set_bool(
        key, CKA_NEVER_EXTRACTABLE, clean && !lh_attributes_bool(key, CKA_EXTRACTABLE, true)));
    return lh_rules_check_trusted(key);
}

uint64_t lh_rules_roles_of(const lh_attributes *object, unsigned kind)
{
    static const struct {
        unsigned long type;
        uint64_t bit;
        unsigned kinds;
    } bits[] = {
        {CKA_ENCRYPT, LH_HISTORY_ENCRYPT, LH_KIND_SECRET},
        {CKA_DECRYPT, LH_HISTORY_DECRYPT, LH_KIND_HIDDEN_KEY},
        {CKA_WRAP, LH_HISTORY_WRAP, LH_KIND_SECRET | LH_KIND_PUBLIC},
        {CKA_UNWRAP, LH_HISTORY_UNWRAP, LH_KIND_HIDDEN_KEY},
        {CKA_SIGN, LH_HISTORY_SIGN, LH_KIND_HIDDEN_KEY},
        {CKA_SIGN_RECOVER, LH_HISTORY_SIGN, LH_KIND_PRIVATE},
        {CKA_VERIFY, LH_HISTORY_SIGN, LH_KIND_SECRET},
        {CKA_DERIVE, LH_HISTORY_DERIVE, LH_KIND_HIDDEN_KEY},
        {CKA_DECAPSULATE, LH_HISTORY_ENCAPSULATE, LH_KIND_PRIVATE},
    };
    uint64_t history = 0;
    for (size_t i = 0; i < LH_ARRAY_LEN(bits); i++)
        if ((bits[i].kinds & kind) && lh_attributes_bool(object, bits[i].type, false))
            history |= bits[i].bit;
    return history;
}

uint64_t lh_rules_history_of(const lh_attributes *object)
{
    return lh_attributes_ulong(object, LH_RULES_HISTORY, 0);
}

lh_err lh_rules_add_history(lh_attributes *object, uint64_t bits)
{
    return lh_attributes_set_ulong(object, LH_RULES_HISTORY, lh_rules_history_of(object) | bits);
}

lh_err lh_rules_template_of(const lh_attributes *key, unsigned long type, lh_attributes **ret)
{
    lh_bytes value = LH_BYTES_NONE;
    if (!lh_attributes_get(key, type, &value)) {
        *ret = NULL;
        return LH_SUCCESS;
    }
    return lh_attributes_parse(value, ret);
}

bool lh_rules_is_hidden(const lh_attributes *key)
{
    return lh_attributes_bool(key, CKA_SENSITIVE, true) || !lh_attributes_bool(key, CKA_EXTRACTABLE, false);
}
