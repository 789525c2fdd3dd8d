/* What keys may be used for, and which keys may carry which others out. */
#include "object/rules_internal.h"

#include "codec/bin.h"
#include "leasehold/pkcs11-3.h"

#include <time.h>

#define DATE_SIZE 8u
#define CLOSED_LIST_MAX 64u /* bytes of a list of all mechanisms that prove integrity */

/* --- use --- */

typedef struct {
    unsigned use;
    unsigned long role;
    unsigned kinds;
    const char *type_reason; /* where class or type of the key do not fit */
} use_row;

static const use_row uses[] = {
    {LH_USE_SIGN, CKA_SIGN, LH_KIND_HIDDEN_KEY, "key-type-inconsistent"},
    {LH_USE_SIGN_RECOVER, CKA_SIGN_RECOVER, LH_KIND_PRIVATE, "key-type-inconsistent"},
    {LH_USE_VERIFY, CKA_VERIFY, LH_KIND_PUBLIC | LH_KIND_SECRET, "key-type-inconsistent"},
    {LH_USE_VERIFY_RECOVER, CKA_VERIFY_RECOVER, LH_KIND_PUBLIC, "key-type-inconsistent"},
    {LH_USE_ENCRYPT, CKA_ENCRYPT, LH_KIND_PUBLIC | LH_KIND_SECRET, "key-type-inconsistent"},
    {LH_USE_DECRYPT, CKA_DECRYPT, LH_KIND_HIDDEN_KEY, "key-type-inconsistent"},
    {LH_USE_WRAP, CKA_WRAP, LH_KIND_PUBLIC | LH_KIND_SECRET, "wrapping-key-type-inconsistent"},
    {LH_USE_UNWRAP, CKA_UNWRAP, LH_KIND_HIDDEN_KEY, "unwrapping-key-type-inconsistent"},
    {LH_USE_DERIVE, CKA_DERIVE, LH_KIND_HIDDEN_KEY, "key-type-inconsistent"},
    {LH_USE_ENCAPSULATE, CKA_ENCAPSULATE, LH_KIND_PUBLIC, "key-type-inconsistent"},
    {LH_USE_DECAPSULATE, CKA_DECAPSULATE, LH_KIND_PRIVATE, "key-type-inconsistent"},
};

static const use_row *find_use(unsigned use)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(uses); i++)
        if (uses[i].use == use)
            return &uses[i];
    return NULL;
}

/* Every allowed mechanism is one that fits. */
static bool is_allowed(const lh_attributes *key, unsigned long mechanism)
{
    lh_bytes list = LH_BYTES_NONE;
    if (!lh_attributes_get(key, CKA_ALLOWED_MECHANISMS, &list) || list.len == 0)
        return true;
    lh_reader reader = lh_reader_new(list);
    while (reader.left >= 8)
        if (lh_read_u64(&reader) == mechanism)
            return true;
    return false;
}

/* Dates as the attributes have them sort as text. */
static lh_err check_today(const lh_attributes *key, int64_t wall)
{
    const time_t seconds = (time_t)wall;
    struct tm day;
    char today[32];
    if (!gmtime_r(&seconds, &day) || strftime(today, sizeof(today), "%Y%m%d", &day) != DATE_SIZE)
        return LH_RAISE(LH_E_INTERNAL, wall);
    lh_bytes start = LH_BYTES_NONE;
    lh_bytes end = LH_BYTES_NONE;
    (void)lh_attributes_get(key, CKA_START_DATE, &start);
    (void)lh_attributes_get(key, CKA_END_DATE, &end);
    if (start.len == DATE_SIZE && memcmp(today, start.data, DATE_SIZE) < 0)
        return LH_REFUSE(LH_E_DENIED, "action-prohibited", "the key cannot be used yet: CKA_START_DATE");
    if (end.len == DATE_SIZE && memcmp(today, end.data, DATE_SIZE) > 0)
        return LH_REFUSE(LH_E_DENIED, "action-prohibited", "the key cannot be used any more: CKA_END_DATE");
    return LH_SUCCESS;
}

lh_err lh_rules_may_use(const lh_attributes *key, const lh_mechanism *row, unsigned use, int64_t wall)
{
    lh_rules_shape shape;
    const use_row *wanted = find_use(use);
    if (!wanted || !(row->uses & use))
        return LH_REFUSE(LH_E_INVALID, "mechanism-invalid", "%s is not for that use", row->name);
    if (!lh_ok(lh_rules_shape_of(key, &shape)) || !(shape.kind & LH_KIND_KEY))
        return LH_REFUSE(LH_E_INVALID, "key-handle-invalid", "the object is no key");
    if (!(shape.kind & wanted->kinds) || !lh_mechanism_fits_type(row, (unsigned long)shape.ck_type))
        return LH_REFUSE(
            LH_E_INVALID, wanted->type_reason, "%s does not take keys of this class and type", row->name);
    if (!lh_attributes_bool(key, wanted->role, false))
        return LH_REFUSE(LH_E_DENIED, "key-function-not-permitted",
            "the key is not for that: attribute 0x%08lx", wanted->role);
    if (!is_allowed(key, row->type))
        return LH_REFUSE(
            LH_E_DENIED, "mechanism-invalid", "CKA_ALLOWED_MECHANISMS of the key lack %s", row->name);
    return check_today(key, wall);
}

bool lh_rules_asks_login(const lh_attributes *key)
{
    return lh_attributes_bool(key, CKA_ALWAYS_AUTHENTICATE, false);
}

lh_err lh_rules_may_digest(const lh_attributes *key)
{
    if (lh_attributes_ulong(key, CKA_CLASS, LH_RULES_NOT_SAID) != CKO_SECRET_KEY)
        return LH_REFUSE(LH_E_INVALID, "key-handle-invalid", "only secret keys are digested");
    if (lh_rules_is_hidden(key))
        return LH_REFUSE(LH_E_DENIED, "key-indigestible", "a digest would tell of a key that cannot be read");
    return LH_SUCCESS;
}

lh_err lh_rules_may_destroy(const lh_attributes *object, enum lh_rules_user user)
{
    if (!lh_rules_visible(object, user))
        return LH_REFUSE(LH_E_DENIED, "user-not-logged-in", "the object is private");
    if (!lh_attributes_bool(object, CKA_DESTROYABLE, true))
        return LH_REFUSE(LH_E_DENIED, "action-prohibited", "the object cannot be destroyed: CKA_DESTROYABLE");
    return LH_SUCCESS;
}

/* --- wrapping --- */

bool lh_rules_proves_integrity(uint64_t mechanism)
{
    switch (mechanism) {
    case CKM_AES_KEY_WRAP:
    case CKM_AES_KEY_WRAP_PAD:
    case CKM_AES_KEY_WRAP_KWP:
    case CKM_RSA_PKCS_OAEP:
    case CKM_RSA_AES_KEY_WRAP: return true;
    default: return false; /* AES-GCM and its like too: who chooses the IV twice sees the key */
    }
}

bool lh_rules_is_confined(const lh_attributes *key)
{
    lh_bytes list = LH_BYTES_NONE;
    if (!lh_attributes_get(key, CKA_ALLOWED_MECHANISMS, &list) || list.len == 0)
        return false;
    lh_reader reader = lh_reader_new(list);
    while (reader.left >= 8)
        if (!lh_rules_proves_integrity(lh_read_u64(&reader)))
            return false;
    return true;
}

/* Made here, and its value was never outside. */
static bool is_kept(const lh_attributes *key)
{
    return lh_attributes_bool(key, CKA_LOCAL, false) &&
           lh_attributes_bool(key, CKA_ALWAYS_SENSITIVE, false) &&
           lh_attributes_bool(key, CKA_NEVER_EXTRACTABLE, false);
}

static bool is_secret_key(const lh_attributes *object)
{
    return lh_attributes_ulong(object, CKA_CLASS, LH_RULES_NOT_SAID) == CKO_SECRET_KEY;
}

/* Also of a store in which some other key was called so. */
static bool is_trusted(const lh_attributes *key)
{
    return lh_attributes_bool(key, CKA_TRUSTED, false) && (!is_secret_key(key) || is_kept(key));
}

lh_err lh_rules_check_trusted(const lh_attributes *object)
{
    if (lh_attributes_bool(object, CKA_TRUSTED, false) && !is_trusted(object))
        return LH_REFUSE(LH_E_INVALID, "attribute-value-invalid",
            "CKA_TRUSTED is for secret keys that were generated here, always sensitive, never extractable: "
            "of any other somebody may know the value");
    return LH_SUCCESS;
}

static lh_err refuse_unguarded(void)
{
    return LH_REFUSE(LH_E_DENIED, "key-not-wrappable",
        "a sensitive key is wrapped only by a key that does nothing else and never leaves: made here, "
        "sensitive, not extractable, CKA_WRAP and CKA_UNWRAP alone, never copied (an RSA key, or one that is "
        "to be copied: born with CKA_ALLOWED_MECHANISMS of key wrapping)");
}

bool lh_rules_is_guardian(const lh_attributes *key)
{
    lh_rules_shape shape;
    if (!lh_ok(lh_rules_shape_of(key, &shape)) || !(shape.kind & LH_KIND_KEY))
        return false;
    const uint64_t history = lh_rules_history_of(key);
    const bool local = lh_attributes_bool(key, CKA_LOCAL, false);
    if (shape.kind == LH_KIND_PUBLIC)
        return local ? (history & LH_HISTORY_CLOSED) != 0 : lh_attributes_bool(key, CKA_TRUSTED, false);
    const uint64_t harmless = LH_HISTORY_WRAP | LH_HISTORY_UNWRAP | LH_HISTORY_CONFINED;
    return is_kept(key) && (history & LH_HISTORY_CONFINED) && !(history & ~harmless);
}

/* Mechanisms of the key that prove integrity, as CKA_ALLOWED_MECHANISMS has them: never more than it has. */
static lh_err put_closed_list(const lh_attributes *key, uint64_t ck_type, lh_buf *ret)
{
    for (size_t i = 0; i < lh_mechanism_count(); i++) {
        const lh_mechanism *row = lh_mechanism_at(i);
        if (lh_rules_proves_integrity(row->type) && lh_mechanism_fits_type(row, (unsigned long)ck_type) &&
            is_allowed(key, row->type))
            lh_put_u64(ret, row->type);
    }
    return lh_buf_status(ret);
}

bool lh_rules_can_close(const lh_attributes *key)
{
    const uint64_t history = lh_rules_history_of(key);
    return is_secret_key(key) && is_kept(key) && (history & LH_HISTORY_WRAP) &&
           !(history & ~(uint64_t)(LH_HISTORY_WRAP | LH_HISTORY_UNWRAP));
}

bool lh_rules_wrap_closes(const lh_attributes *wrapping, const lh_attributes *key)
{
    return lh_rules_can_close(wrapping) && lh_attributes_bool(key, CKA_SENSITIVE, true);
}

lh_err lh_rules_close(const lh_attributes *key, lh_attributes **ret)
{
    LH_AUTO(lh_buf_free) lh_buf list = LH_BUF_INIT(CLOSED_LIST_MAX);
    LH_AUTO(lh_attributes_freep) lh_attributes *closed = NULL;
    const uint64_t ck_type = lh_attributes_ulong(key, CKA_KEY_TYPE, LH_RULES_NOT_SAID);
    LH_TRY(put_closed_list(key, ck_type, &list));
    if (!lh_rules_can_close(key) || list.len == 0)
        return refuse_unguarded();
    LH_TRY(lh_attributes_clone(key, &closed));
    LH_TRY(lh_attributes_set(closed, CKA_ALLOWED_MECHANISMS, lh_buf_bytes(&list)));
    LH_TRY(lh_rules_add_history(closed, LH_HISTORY_CONFINED));
    *ret = LH_TAKE(closed);
    return LH_SUCCESS;
}

lh_err lh_rules_mark_copied(const lh_attributes *key, lh_attributes **ret)
{
    LH_AUTO(lh_attributes_freep) lh_attributes *marked = NULL;
    LH_TRY(lh_attributes_clone(key, &marked));
    LH_TRY(lh_rules_add_history(marked, LH_HISTORY_COPIED));
    *ret = LH_TAKE(marked);
    return LH_SUCCESS;
}

/* Bits of security, as SP 800-57 part 1 (5.6.1.1) counts them, down to its steps. */
static unsigned strength_of_modulus(uint64_t bits)
{
    return bits >= 15360  ? 256
           : bits >= 7680 ? 192
           : bits >= 3072 ? 128
           : bits >= 2048 ? 112
           : bits >= 1024 ? 80
                          : 0;
}

static uint64_t value_bits(const lh_attributes *key, unsigned long type)
{
    lh_bytes value = LH_BYTES_NONE;
    (void)lh_attributes_get(key, type, &value);
    return (uint64_t)lh_rules_stripped(value).len * 8;
}

static unsigned strength_of(const lh_attributes *key, const lh_rules_shape *shape)
{
    const uint64_t len = 8 * lh_attributes_ulong(key, CKA_VALUE_LEN, value_bits(key, CKA_VALUE) / 8);
    switch (shape->key) {
    case LH_TYPE_RSA: return strength_of_modulus(value_bits(key, CKA_MODULUS));
    case LH_TYPE_DH: return strength_of_modulus(value_bits(key, CKA_PRIME));
    case LH_TYPE_DES3: return 112;
    case LH_TYPE_AES_XTS: return len / 2 > 256 ? 256 : (unsigned)(len / 2);
    case LH_TYPE_EC:
    case LH_TYPE_EDWARDS:
    case LH_TYPE_MONTGOMERY: {
        const uint64_t bits = value_bits(key, CKA_VALUE) / 2; /* the scalar is as long as the field */
        return bits > 224 ? 256 : bits > 160 ? 192 : bits > 112 ? 128 : (unsigned)bits;
    }
    case LH_TYPE_ML_KEM:
    case LH_TYPE_ML_DSA:
    case LH_TYPE_SLH_DSA: return 256; /* at most */
    default: return len > 256 ? 256 : (unsigned)len;
    }
}

/* A key is not wrapped by a weaker one; an RSA key of 2048 bits may wrap any (docs/decisions/0013). */
static lh_err check_strength(const lh_attributes *wrapping, const lh_rules_shape *wrapping_shape,
    const lh_attributes *key, const lh_rules_shape *shape)
{
    const unsigned strength = strength_of(wrapping, wrapping_shape);
    const bool enough =
        wrapping_shape->kind == LH_KIND_PUBLIC ? strength >= 112 : strength >= strength_of(key, shape);
    if (!enough)
        return LH_REFUSE(LH_E_DENIED, "wrapping-key-size-range",
            "the wrapping key (%u bits of security) is weaker than what it is to wrap", strength);
    return LH_SUCCESS;
}

/* Whether what leaves by this key and mechanism stays as secret as it is inside. */
static lh_err check_guarded(const lh_attributes *wrapping, const lh_mechanism *row)
{
    if (!lh_rules_is_guardian(wrapping))
        return refuse_unguarded();
    if (!lh_rules_proves_integrity(row->type))
        return LH_REFUSE(LH_E_DENIED, "key-not-wrappable",
            "%s does not protect a sensitive key: use AES key wrap or RSA-OAEP", row->name);
    return LH_SUCCESS;
}

/* Limits are the object's: what is unwrapped again would be the same key without them. (A key whose uses are
 * counted is never extractable.) */
static lh_err check_unlimited(const lh_attributes *key)
{
    static const unsigned long limits[] = {CKA_START_DATE, CKA_END_DATE, CKA_ALLOWED_MECHANISMS,
        CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE, CKA_DERIVE_TEMPLATE, CKA_DECAPSULATE_TEMPLATE};
    bool limited = lh_rules_asks_login(key);
    for (size_t i = 0; i < LH_ARRAY_LEN(limits); i++) {
        lh_bytes value = LH_BYTES_NONE;
        limited = limited || (lh_attributes_get(key, limits[i], &value) && value.len > 0);
    }
    if (limited)
        return LH_REFUSE(LH_E_DENIED, "key-not-wrappable",
            "a sensitive key with dates, CKA_ALWAYS_AUTHENTICATE, CKA_ALLOWED_MECHANISMS or templates of its "
            "own is not wrapped: unwrapped, it would be without them");
    return LH_SUCCESS;
}

/* A key that nobody may read. */
static lh_err may_wrap_sensitive(
    const lh_attributes *wrapping, const lh_attributes *key, const lh_mechanism *row, enum lh_rules_user user)
{
    if (user != LH_RULES_USER)
        return LH_REFUSE(LH_E_DENIED, "user-not-logged-in", "sensitive keys are wrapped for the user alone");
    LH_TRY(check_unlimited(key));
    return check_guarded(wrapping, row);
}

lh_err lh_rules_may_wrap(
    const lh_attributes *wrapping, const lh_attributes *key, const lh_mechanism *row, enum lh_rules_user user)
{
    lh_rules_shape shape;
    lh_rules_shape wrapping_shape;
    if (!lh_ok(lh_rules_shape_of(wrapping, &wrapping_shape)) || !(wrapping_shape.kind & LH_KIND_KEY))
        return LH_REFUSE(LH_E_INVALID, "wrapping-key-handle-invalid", "the wrapping object is no key");
    if (!lh_ok(lh_rules_shape_of(key, &shape)) || !(shape.kind & LH_KIND_HIDDEN_KEY))
        return LH_REFUSE(
            LH_E_INVALID, "key-handle-invalid", "secret and private keys are wrapped, no others");
    if (!lh_attributes_bool(key, CKA_EXTRACTABLE, false))
        return LH_REFUSE(LH_E_DENIED, "key-unextractable", "the key never leaves: CKA_EXTRACTABLE");
    if (lh_attributes_bool(key, CKA_WRAP_WITH_TRUSTED, false) && !is_trusted(wrapping))
        return LH_REFUSE(LH_E_DENIED, "key-not-wrappable", "the key is only for a trusted key to wrap");
    LH_AUTO(lh_attributes_freep) lh_attributes *template = NULL;
    LH_TRY(lh_rules_template_of(wrapping, CKA_WRAP_TEMPLATE, &template));
    if (template && !lh_rules_match(key, template))
        return LH_REFUSE(
            LH_E_DENIED, "key-not-wrappable", "the wrapping key is not for such keys: CKA_WRAP_TEMPLATE");
    if (!lh_attributes_bool(key, CKA_SENSITIVE, true))
        return LH_SUCCESS;
    LH_TRY(may_wrap_sensitive(wrapping, key, row, user));
    return check_strength(wrapping, &wrapping_shape, key, &shape);
}
