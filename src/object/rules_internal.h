/* Shared by the files of the rules. Not for others. */
#ifndef LH_OBJECT_RULES_INTERNAL_H
#define LH_OBJECT_RULES_INTERNAL_H

#include "object/attributes.h"
#include "object/rules.h"
#include "object/rules_table.h"

#define LH_RULES_NOT_SAID UINT64_MAX

/* What an object is, as the table sees it. */
typedef struct {
    unsigned kind;    /* one LH_KIND_ bit */
    uint32_t key;     /* LH_TYPE_ bit; 0 where not a key */
    uint64_t ck_type; /* CKK_; LH_RULES_NOT_SAID where not a key */
} lh_rules_shape;

/* Of an object that exists, or of a template that says class and type. "template-incomplete" where one is not
 * said, "attribute-value-invalid" where there is no such thing. */
LH_MUST lh_err lh_rules_shape_of(const lh_attributes *object, lh_rules_shape *ret);

/* Everything that the template of a new object may get wrong by itself: attributes that the shape has not, or
 * that may not be said then; a private object without login; TRUSTED by others than the SO. when: one
 * LH_WHEN_ bit. */
LH_MUST lh_err lh_rules_check_said(
    const lh_attributes *template, const lh_rules_shape *shape, unsigned when, enum lh_rules_user user);
/* The new object: what the template says, class and type from shape, and the defaults. forced: attributes
 * that outrank the defaults and that the template must not contradict ("template-inconsistent"); NULL: none.
 * naming: the template whose roles decide about defaults (a pair's two together), NULL: template. */
typedef struct {
    const lh_attributes *template;
    const lh_attributes *naming;
    const lh_attributes *forced;
    unsigned when;
    enum lh_rules_user user;
} lh_rules_order;
LH_MUST lh_err lh_rules_build(const lh_rules_order *order, const lh_rules_shape *shape, lh_attributes **ret);

/* What must fit together in an object as a whole: dates, ALWAYS_AUTHENTICATE, CKA_LEASEHOLD_USES … */
LH_MUST lh_err lh_rules_check_whole(const lh_attributes *object, const lh_rules_shape *shape);

/* LOCAL, ALWAYS_SENSITIVE, NEVER_EXTRACTABLE, KEY_GEN_MECHANISM (LH_RULES_NOT_SAID: unavailable) and the
 * history of its roles. clean: the value was never outside. */
LH_MUST lh_err lh_rules_set_origin(lh_attributes *key, bool local, bool clean, uint64_t mechanism);

/* LH_HISTORY_ bits of the roles that an object has now. */
uint64_t lh_rules_roles_of(const lh_attributes *object, unsigned kind);
uint64_t lh_rules_history_of(const lh_attributes *object);
LH_MUST lh_err lh_rules_add_history(lh_attributes *object, uint64_t bits);
/* Some template of a key (CKA_UNWRAP_TEMPLATE …), parsed; NULL where it has none. */
LH_MUST lh_err lh_rules_template_of(const lh_attributes *key, unsigned long type, lh_attributes **ret);
/* A key whose value may not be read: sensitive, or not extractable. */
bool lh_rules_is_hidden(const lh_attributes *key);
/* CKA_TRUSTED of a secret key is for one that was made here and never outside: "attribute-value-invalid". Of
 * other objects it is the security officer's word alone. */
LH_MUST lh_err lh_rules_check_trusted(const lh_attributes *object);
/* Mechanisms by which a guardian may wrap and unwrap. */
bool lh_rules_proves_integrity(uint64_t mechanism);
/* CKA_ALLOWED_MECHANISMS is there and names such mechanisms alone. */
bool lh_rules_is_confined(const lh_attributes *key);
/* The bytes of a big integer without leading zeros. */
lh_bytes lh_rules_stripped(lh_bytes integer);

#endif
