/* New objects: created, generated, unwrapped, derived, encapsulated. */
#include "object/rules_internal.h"

#include "leasehold/pkcs11-3.h"

#define SAFE_LEN 16u /* bytes that a key mixed from a hidden one must have: too many to try all values */

lh_err lh_rules_create(const lh_attributes *template, enum lh_rules_user user, lh_attributes **ret)
{
    lh_rules_shape shape;
    LH_TRY(lh_rules_shape_of(template, &shape));
    if (shape.kind == LH_KIND_PROFILE)
        return LH_REFUSE(LH_E_INVALID, "attribute-value-invalid",
            "profile objects are the token's own; nobody creates them");
    const lh_rules_order order = {.template = template, .when = LH_WHEN_CREATE, .user = user};
    LH_AUTO(lh_attributes_freep) lh_attributes *object = NULL;
    LH_TRY(lh_rules_build(&order, &shape, &object));
    if (shape.kind & (LH_KIND_KEY | LH_KIND_DOMAIN))
        LH_TRY(lh_rules_set_origin(object, false, false, LH_RULES_NOT_SAID));
    *ret = LH_TAKE(object);
    return LH_SUCCESS;
}

/* --- generation --- */

/* The CKK_ that a row makes, for templates that do not say it: the first of these. */
static uint64_t made_type(const lh_mechanism *row)
{
    static const unsigned long types[] = {CKK_RSA, CKK_EC, CKK_EC_EDWARDS, CKK_EC_MONTGOMERY, CKK_DH, CKK_AES,
        CKK_CHACHA20, CKK_GENERIC_SECRET, CKK_HKDF, CKK_AES_XTS, CKK_DES3, CKK_RC4, CKK_ML_KEM, CKK_ML_DSA,
        CKK_SLH_DSA, CKK_SHA_1_HMAC, CKK_SHA224_HMAC, CKK_SHA256_HMAC, CKK_SHA384_HMAC, CKK_SHA512_HMAC,
        CKK_SHA512_224_HMAC, CKK_SHA512_256_HMAC, CKK_SHA3_224_HMAC, CKK_SHA3_256_HMAC, CKK_SHA3_384_HMAC,
        CKK_SHA3_512_HMAC};
    for (size_t i = 0; i < LH_ARRAY_LEN(types); i++)
        if (lh_mechanism_fits_type(row, types[i]))
            return types[i];
    return LH_RULES_NOT_SAID;
}

/* The shape of what a row makes, where the template agrees. */
static lh_err made_shape(const lh_mechanism *row, const lh_attributes *template, uint64_t class,
    uint64_t ck_type, lh_rules_shape *ret)
{
    const uint64_t said = lh_attributes_ulong(template, CKA_KEY_TYPE, ck_type);
    if (lh_attributes_ulong(template, CKA_CLASS, class) != class)
        return LH_REFUSE(
            LH_E_INVALID, "template-inconsistent", "%s makes no objects of that CKA_CLASS", row->name);
    if (said == LH_RULES_NOT_SAID)
        return LH_REFUSE(LH_E_INVALID, "template-incomplete", "%s needs CKA_KEY_TYPE", row->name);
    if (!lh_mechanism_fits_type(row, (unsigned long)said))
        return LH_REFUSE(
            LH_E_INVALID, "template-inconsistent", "%s makes no keys of that CKA_KEY_TYPE", row->name);
    *ret = (lh_rules_shape){lh_rule_kind_of(class, 0), lh_key_type_of((unsigned long)said), said};
    return LH_SUCCESS;
}

lh_err lh_rules_generate(
    const lh_mechanism *row, const lh_attributes *template, enum lh_rules_user user, lh_attributes **ret)
{
    if (!(row->uses & LH_USE_GENERATE))
        return LH_REFUSE(LH_E_INVALID, "mechanism-invalid", "%s makes no keys", row->name);
    const bool domain = row->type == CKM_DH_PKCS_PARAMETER_GEN;
    lh_rules_shape shape;
    LH_TRY(
        made_shape(row, template, domain ? CKO_DOMAIN_PARAMETERS : CKO_SECRET_KEY, made_type(row), &shape));
    const lh_rules_order order = {.template = template, .when = LH_WHEN_GENERATE, .user = user};
    LH_AUTO(lh_attributes_freep) lh_attributes *object = NULL;
    LH_TRY(lh_rules_build(&order, &shape, &object));
    /* a key made of a password is known to whoever knows that */
    const bool password = row->type == CKM_PKCS5_PBKD2;
    LH_TRY(lh_rules_set_origin(object, true, !password, row->type));
    *ret = LH_TAKE(object);
    return LH_SUCCESS;
}

/* Roles that either half names, for the defaults of both. */
static lh_err join(const lh_attributes *a, const lh_attributes *b, lh_attributes **ret)
{
    LH_AUTO(lh_attributes_freep) lh_attributes *both = NULL;
    LH_TRY(lh_attributes_new(&both));
    const lh_attributes *const halves[] = {a, b};
    for (size_t half = 0; half < LH_ARRAY_LEN(halves); half++)
        for (size_t i = 0; i < lh_attributes_count(halves[half]); i++) {
            const lh_attribute attribute = lh_attributes_at(halves[half], i);
            if (lh_rule_form_of(attribute.type) == LH_FORM_BOOL &&
                lh_attributes_bool(halves[half], attribute.type, false))
                LH_TRY(lh_attributes_set_bool(both, attribute.type, true));
        }
    *ret = LH_TAKE(both);
    return LH_SUCCESS;
}

static lh_err check_same_curve(const lh_attributes *public_template, const lh_attributes *private_template)
{
    const unsigned long types[] = {CKA_EC_PARAMS, CKA_PARAMETER_SET};
    for (size_t i = 0; i < LH_ARRAY_LEN(types); i++) {
        lh_bytes a = LH_BYTES_NONE;
        lh_bytes b = LH_BYTES_NONE;
        if (lh_attributes_get(public_template, types[i], &a) &&
            lh_attributes_get(private_template, types[i], &b) && !lh_bytes_equal(a, b))
            return LH_REFUSE(
                LH_E_INVALID, "template-inconsistent", "the templates want keys with two sets of parameters");
    }
    return LH_SUCCESS;
}

/* A pair that wraps keeps its private half from ever doing more than it was born for; the public half
 * remembers what the private one is. */
static lh_err tie_halves(lh_attributes *public, lh_attributes *private)
{
    uint64_t history = lh_rules_history_of(private);
    if (lh_attributes_bool(public, CKA_WRAP, false))
        history |= LH_HISTORY_WRAP;
    LH_TRY(lh_attributes_set_ulong(private, LH_RULES_HISTORY, history));
    uint64_t of_public = lh_rules_history_of(public) | history;
    if (lh_rules_is_guardian(private))
        of_public |= LH_HISTORY_CLOSED;
    return lh_attributes_set_ulong(public, LH_RULES_HISTORY, of_public);
}

lh_err lh_rules_generate_pair(const lh_mechanism *row, const lh_attributes *public_template,
    const lh_attributes *private_template, enum lh_rules_user user, lh_attributes **ret_public,
    lh_attributes **ret_private)
{
    if (!(row->uses & LH_USE_GENERATE_PAIR))
        return LH_REFUSE(LH_E_INVALID, "mechanism-invalid", "%s makes no pairs", row->name);
    lh_rules_shape of_public;
    lh_rules_shape of_private;
    LH_TRY(made_shape(row, public_template, CKO_PUBLIC_KEY, made_type(row), &of_public));
    LH_TRY(made_shape(row, private_template, CKO_PRIVATE_KEY, of_public.ck_type, &of_private));
    if (of_private.key != of_public.key)
        return LH_REFUSE(LH_E_INVALID, "template-inconsistent", "the templates want keys of two types");
    LH_TRY(check_same_curve(public_template, private_template));
    LH_AUTO(lh_attributes_freep) lh_attributes *naming = NULL;
    LH_TRY(join(public_template, private_template, &naming));
    lh_rules_order order = {
        .template = public_template, .naming = naming, .when = LH_WHEN_GENERATE, .user = user};
    LH_AUTO(lh_attributes_freep) lh_attributes *public = NULL;
    LH_TRY(lh_rules_build(&order, &of_public, &public));
    order.template = private_template;
    LH_AUTO(lh_attributes_freep) lh_attributes *private = NULL;
    LH_TRY(lh_rules_build(&order, &of_private, &private));
    LH_TRY(lh_rules_set_origin(public, true, true, row->type));
    LH_TRY(lh_rules_set_origin(private, true, true, row->type));
    LH_TRY(tie_halves(public, private));
    *ret_public = LH_TAKE(public);
    *ret_private = LH_TAKE(private);
    return LH_SUCCESS;
}

/* --- keys out of keys --- */

/* What a key out of another is: the template's word, or a generic secret. */
static lh_err shape_or_secret(const lh_attributes *template, uint64_t class, lh_rules_shape *ret)
{
    LH_AUTO(lh_attributes_freep) lh_attributes *full = NULL;
    LH_TRY(lh_attributes_clone(template, &full));
    if (!lh_attributes_has(full, CKA_CLASS))
        LH_TRY(lh_attributes_set_ulong(full, CKA_CLASS, class));
    if (!lh_attributes_has(full, CKA_KEY_TYPE) && class == CKO_SECRET_KEY)
        LH_TRY(lh_attributes_set_ulong(full, CKA_KEY_TYPE, CKK_GENERIC_SECRET));
    return lh_rules_shape_of(full, ret);
}

static lh_err force_bool(lh_attributes *forced, unsigned long type, bool value)
{
    if (lh_attributes_bool(forced, type, value) != value)
        return LH_REFUSE(LH_E_INVALID, "template-inconsistent",
            "the key's own template wants attribute 0x%08lx otherwise than is safe", (unsigned long)type);
    return lh_attributes_set_bool(forced, type, value);
}

/* The template that the key prescribes for what comes out of it, or an empty one. */
static lh_err prescribed(const lh_attributes *key, unsigned long type, lh_attributes **ret)
{
    LH_AUTO(lh_attributes_freep) lh_attributes *forced = NULL;
    LH_TRY(lh_rules_template_of(key, type, &forced));
    if (!forced)
        LH_TRY(lh_attributes_new(&forced));
    *ret = LH_TAKE(forced);
    return LH_SUCCESS;
}

/* A prescribed template says nothing that the application itself may not say. */
static lh_err build_from_key(const lh_rules_order *order, const lh_rules_shape *shape, lh_attributes **ret)
{
    LH_TRY(lh_rules_check_said(order->forced, shape, order->when, order->user));
    return lh_rules_build(order, shape, ret);
}

lh_err lh_rules_unwrap(const lh_attributes *unwrapping, const lh_mechanism *row,
    const lh_attributes *template, enum lh_rules_user user, lh_attributes **ret)
{
    if (!(row->uses & LH_USE_UNWRAP))
        return LH_REFUSE(LH_E_INVALID, "mechanism-invalid", "%s unwraps no keys", row->name);
    LH_AUTO(lh_attributes_freep) lh_attributes *forced = NULL;
    LH_TRY(prescribed(unwrapping, CKA_UNWRAP_TEMPLATE, &forced));
    LH_AUTO(lh_attributes_freep) lh_attributes *asked = NULL;
    LH_TRY(lh_attributes_clone(template, &asked));
    const unsigned long named[] = {CKA_CLASS, CKA_KEY_TYPE};
    for (size_t i = 0; i < LH_ARRAY_LEN(named); i++)
        if (!lh_attributes_has(asked, named[i]) && lh_attributes_has(forced, named[i]))
            LH_TRY(lh_attributes_set_ulong(asked, named[i], lh_attributes_ulong(forced, named[i], 0)));
    lh_rules_shape shape;
    LH_TRY(shape_or_secret(asked, CKO_SECRET_KEY, &shape));
    if (!(shape.kind & LH_KIND_HIDDEN_KEY))
        return LH_REFUSE(
            LH_E_INVALID, "template-inconsistent", "secret and private keys are unwrapped, no others");
    if (lh_rules_is_guardian(unwrapping)) {
        LH_TRY(force_bool(forced, CKA_SENSITIVE, true));
        if (lh_attributes_bool(unwrapping, CKA_TRUSTED, false))
            LH_TRY(force_bool(forced, CKA_WRAP_WITH_TRUSTED, true));
    }
    const lh_rules_order order = {
        .template = template, .forced = forced, .when = LH_WHEN_UNWRAP, .user = user};
    LH_AUTO(lh_attributes_freep) lh_attributes *object = NULL;
    LH_TRY(build_from_key(&order, &shape, &object));
    LH_TRY(lh_rules_set_origin(object, false, false, LH_RULES_NOT_SAID));
    if (lh_rules_is_guardian(unwrapping)) /* what it is of may be told by what else it is: PKCS #8 of a key */
        LH_TRY(lh_rules_add_history(object, LH_HISTORY_MIXED));
    *ret = LH_TAKE(object);
    return LH_SUCCESS;
}

enum mixing { MIX_NONE, MIX_CONCATENATE, MIX_XOR, MIX_EXTRACT, MIX_ENCRYPT };

/* Derivations whose result tells of the base key, and how. */
static enum mixing mixing_of(const lh_mechanism *row)
{
    switch (row->type) {
    case CKM_CONCATENATE_BASE_AND_KEY:
    case CKM_CONCATENATE_BASE_AND_DATA:
    case CKM_CONCATENATE_DATA_AND_BASE: return MIX_CONCATENATE;
    case CKM_XOR_BASE_AND_DATA: return MIX_XOR;
    case CKM_EXTRACT_KEY_FROM_KEY: return MIX_EXTRACT;
    case CKM_DES_ECB_ENCRYPT_DATA:
    case CKM_DES_CBC_ENCRYPT_DATA:
    case CKM_DES3_ECB_ENCRYPT_DATA:
    case CKM_DES3_CBC_ENCRYPT_DATA:
    case CKM_AES_ECB_ENCRYPT_DATA:
    case CKM_AES_CBC_ENCRYPT_DATA: return MIX_ENCRYPT;
    default: return MIX_NONE;
    }
}

static bool any_hidden(const lh_rules_derivation *from)
{
    bool hidden = lh_rules_is_hidden(from->base);
    for (size_t i = 0; i < from->n_others; i++)
        hidden = hidden || lh_rules_is_hidden(from->others[i]);
    return hidden;
}

static bool any_mixed(const lh_rules_derivation *from)
{
    uint64_t history = lh_rules_history_of(from->base);
    for (size_t i = 0; i < from->n_others; i++)
        history |= lh_rules_history_of(from->others[i]);
    return (history & LH_HISTORY_MIXED) != 0;
}

/* Bytes that the mechanism gives uncut; of two keys joined only the keys tell. */
static uint64_t natural_len(const lh_rules_derivation *from, const lh_mechanism *row)
{
    if (row->type != CKM_CONCATENATE_BASE_AND_KEY)
        return from->natural_len;
    uint64_t len = lh_attributes_ulong(from->base, CKA_VALUE_LEN, 0);
    for (size_t i = 0; i < from->n_others; i++)
        len += lh_attributes_ulong(from->others[i], CKA_VALUE_LEN, 0);
    return len;
}

/* How long the key will be, natural bytes uncut; 0: nobody has said. */
static uint64_t length_of(uint64_t natural, const lh_attributes *template, uint32_t key)
{
    if (lh_attributes_has(template, CKA_VALUE_LEN))
        return lh_attributes_ulong(template, CKA_VALUE_LEN, 0);
    return key == LH_TYPE_DES3 ? 24 : key == LH_TYPE_CHACHA20 ? 32 : natural;
}

/* What comes of encrypting by the key could be had outside as well: it, or a copy, does something else than
 * deriving (a MAC of one block, and wrapping a known key, encrypt too), or it leaves and comes back to do so.
 */
static bool is_computable(const lh_attributes *base)
{
    return (lh_rules_history_of(base) & ~(uint64_t)LH_HISTORY_DERIVE) ||
           lh_attributes_bool(base, CKA_EXTRACTABLE, false);
}

/* Keys that are several keys, or are found out by what of them is known: joined of a hidden and a known part,
 * an XTS key encrypts by the hidden part alone; RC4 with a known prefix is WEP. */
static bool is_divisible(uint32_t key)
{
    return (key & (LH_TYPE_AES_XTS | LH_TYPE_DES3 | LH_TYPE_RC4)) != 0;
}

/* A hidden key mixed with what others know: only to a key that stays hidden itself, is too long to be found
 * by trying, and goes through no second mixing (data before a key, and then the first bytes of both, are the
 * key byte by byte). */
static lh_err check_mixing(
    const lh_rules_derivation *from, const lh_mechanism *row, const lh_attributes *template, uint32_t key)
{
    const enum mixing mixing = mixing_of(row);
    const uint32_t base = lh_key_type_of((unsigned long)lh_attributes_ulong(from->base, CKA_KEY_TYPE, 0));
    const bool telling = mixing == MIX_ENCRYPT
                             ? is_computable(from->base)
                             : is_divisible(key) || (mixing == MIX_XOR && is_divisible(base));
    if (any_mixed(from) || telling)
        return LH_REFUSE(LH_E_DENIED, "key-function-not-permitted",
            "what %s makes of this key would tell of it, or could be computed outside", row->name);
    const uint64_t natural = natural_len(from, row);
    const uint64_t len = length_of(natural, template, key);
    const bool cut = mixing == MIX_CONCATENATE && (natural == 0 || len != natural);
    if (len < SAFE_LEN || cut)
        return LH_REFUSE(LH_E_DENIED, "key-size-range",
            "%s makes of a key that cannot be read only keys of %u bytes and more, and cuts nothing off",
            row->name, SAFE_LEN);
    return LH_SUCCESS;
}

static lh_err set_derived_origin(lh_attributes *object, const lh_rules_derivation *from, bool mixed)
{
    LH_TRY(lh_rules_set_origin(object, false, true, LH_RULES_NOT_SAID));
    const unsigned long types[] = {CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE};
    for (size_t i = 0; i < LH_ARRAY_LEN(types); i++) {
        bool held = lh_attributes_bool(object, types[i], false);
        held = held && lh_attributes_bool(from->base, types[i], false);
        for (size_t j = 0; j < from->n_others; j++)
            held = held && lh_attributes_bool(from->others[j], types[i], false);
        if (lh_attributes_has(object, types[i]))
            LH_TRY(lh_attributes_set_bool(object, types[i], held));
    }
    return mixed ? lh_rules_add_history(object, LH_HISTORY_MIXED) : LH_SUCCESS;
}

/* The class of what a row derives, where the template does not say. */
static uint64_t derived_class(const lh_mechanism *row)
{
    return row->type == CKM_PUB_KEY_FROM_PRIV_KEY ? CKO_PUBLIC_KEY
           : row->type == CKM_HKDF_DATA           ? CKO_DATA
                                                  : CKO_SECRET_KEY;
}

static lh_err derived_shape(const lh_rules_derivation *from, const lh_mechanism *row,
    const lh_attributes *template, lh_rules_shape *ret)
{
    const uint64_t class = derived_class(row);
    if (lh_attributes_ulong(template, CKA_CLASS, class) != class)
        return LH_REFUSE(
            LH_E_INVALID, "template-inconsistent", "%s derives no objects of that CKA_CLASS", row->name);
    if (class != CKO_PUBLIC_KEY)
        return shape_or_secret(template, class, ret);
    const uint64_t type = lh_attributes_ulong(from->base, CKA_KEY_TYPE, LH_RULES_NOT_SAID);
    if (lh_attributes_ulong(template, CKA_KEY_TYPE, type) != type)
        return LH_REFUSE(LH_E_INVALID, "template-inconsistent", "a public key is of its private key's type");
    *ret = (lh_rules_shape){LH_KIND_PUBLIC, lh_key_type_of((unsigned long)type), type};
    return LH_SUCCESS;
}

lh_err lh_rules_derive(const lh_rules_derivation *from, const lh_mechanism *row,
    const lh_attributes *template, enum lh_rules_user user, lh_attributes **ret)
{
    if (!(row->uses & LH_USE_DERIVE))
        return LH_REFUSE(LH_E_INVALID, "mechanism-invalid", "%s derives no keys", row->name);
    lh_rules_shape shape;
    LH_TRY(derived_shape(from, row, template, &shape));
    LH_AUTO(lh_attributes_freep) lh_attributes *forced = NULL;
    LH_TRY(prescribed(from->base, CKA_DERIVE_TEMPLATE, &forced));
    const bool mixed = mixing_of(row) != MIX_NONE && any_hidden(from);
    if (mixed) {
        LH_TRY(check_mixing(from, row, template, shape.key));
        LH_TRY(force_bool(forced, CKA_SENSITIVE, true));
        LH_TRY(force_bool(forced, CKA_EXTRACTABLE, false));
    }
    const lh_rules_order order = {
        .template = template, .forced = forced, .when = LH_WHEN_DERIVE, .user = user};
    LH_AUTO(lh_attributes_freep) lh_attributes *object = NULL;
    LH_TRY(build_from_key(&order, &shape, &object));
    if (shape.kind & LH_KIND_KEY)
        LH_TRY(set_derived_origin(object, from, mixed));
    *ret = LH_TAKE(object);
    return LH_SUCCESS;
}

lh_err lh_rules_encapsulate(const lh_attributes *key, unsigned use, const lh_attributes *template,
    enum lh_rules_user user, lh_attributes **ret)
{
    lh_rules_shape shape;
    LH_TRY(shape_or_secret(template, CKO_SECRET_KEY, &shape));
    if (shape.kind != LH_KIND_SECRET)
        return LH_REFUSE(LH_E_INVALID, "template-inconsistent", "secret keys are encapsulated, no others");
    LH_AUTO(lh_attributes_freep) lh_attributes *forced = NULL;
    LH_TRY(prescribed(
        key, use == LH_USE_DECAPSULATE ? CKA_DECAPSULATE_TEMPLATE : CKA_ENCAPSULATE_TEMPLATE, &forced));
    const lh_rules_order order = {
        .template = template, .forced = forced, .when = LH_WHEN_DERIVE, .user = user};
    LH_AUTO(lh_attributes_freep) lh_attributes *object = NULL;
    LH_TRY(build_from_key(&order, &shape, &object));
    LH_TRY(lh_rules_set_origin(object, false, false, LH_RULES_NOT_SAID));
    *ret = LH_TAKE(object);
    return LH_SUCCESS;
}
