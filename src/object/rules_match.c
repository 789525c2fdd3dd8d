/* What may be seen of objects; the objects that the token itself has. */
#include "object/rules_internal.h"

#include "leasehold/pkcs11-3.h"

bool lh_rules_visible(const lh_attributes *object, enum lh_rules_user user)
{
    return user == LH_RULES_USER || !lh_attributes_bool(object, CKA_PRIVATE, false);
}

enum lh_rules_answer lh_rules_read(const lh_attributes *object, unsigned long type, lh_bytes *ret)
{
    if (type == LH_RULES_HISTORY)
        return LH_RULES_NONE;
    lh_rules_shape shape;
    if (!lh_ok(lh_rules_shape_of(object, &shape)))
        return LH_RULES_NONE;
    const lh_rule_row *row = lh_rule_find(type, shape.kind, shape.key);
    if (row && (row->flags & LH_RULE_SECRET) && lh_rules_is_hidden(object))
        return LH_RULES_SENSITIVE;
    lh_bytes value = LH_BYTES_NONE;
    if (!lh_attributes_get(object, type, &value))
        return LH_RULES_NONE;
    *ret = value;
    return LH_RULES_VALUE;
}

bool lh_rules_match(const lh_attributes *object, const lh_attributes *template)
{
    for (size_t i = 0; i < lh_attributes_count(template); i++) {
        const lh_attribute a = lh_attributes_at(template, i);
        lh_bytes value = LH_BYTES_NONE;
        if (lh_rules_read(object, a.type, &value) != LH_RULES_VALUE || !lh_bytes_equal(value, a.value))
            return false;
    }
    return true;
}

lh_err lh_rules_profile(size_t index, lh_attributes **ret, bool *ret_exists)
{
    static const struct {
        uint64_t id;
        const char *label;
    } profiles[] = {
        {CKP_BASELINE_PROVIDER, "Baseline Provider"},
        {CKP_EXTENDED_PROVIDER, "Extended Provider"},
        {CKP_AUTHENTICATION_TOKEN, "Authentication Token"},
    };
    if (index >= LH_ARRAY_LEN(profiles)) {
        *ret_exists = false;
        return LH_SUCCESS;
    }
    static const struct {
        unsigned long type;
        bool value;
    } facts[] = {{CKA_TOKEN, true}, {CKA_PRIVATE, false}, {CKA_MODIFIABLE, false}, {CKA_COPYABLE, false},
        {CKA_DESTROYABLE, false}};
    LH_AUTO(lh_attributes_freep) lh_attributes *profile = NULL;
    LH_TRY(lh_attributes_new(&profile));
    LH_TRY(lh_attributes_set_ulong(profile, CKA_CLASS, CKO_PROFILE));
    LH_TRY(lh_attributes_set_ulong(profile, CKA_PROFILE_ID, profiles[index].id));
    LH_TRY(lh_attributes_set(profile, CKA_LABEL, LH_BYTES_STR(profiles[index].label)));
    for (size_t i = 0; i < LH_ARRAY_LEN(facts); i++)
        LH_TRY(lh_attributes_set_bool(profile, facts[i].type, facts[i].value));
    *ret = LH_TAKE(profile);
    *ret_exists = true;
    return LH_SUCCESS;
}
