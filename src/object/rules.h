/* The rules of PKCS #11 (2.40 to 3.2) about objects, and those that stop the known attacks on its interface:
 * pure functions over attributes, without keys, disk or clock. Each answers with a new set of attributes and
 * leaves its arguments as they are. What an attribute is and who may say it when is one row of a table
 * (rules_table.c).
 *
 * How to use them. A new object: lh_rules_create / _generate / _generate_pair / _unwrap / _derive /
 * _encapsulate checks the template, adds defaults and history; the caller then makes or imports the key,
 * hands its parts to lh_rules_take_part (the shape of lh_key_part_fn), and ends with lh_rules_complete, once
 * the object has all that it will have. Copies need only lh_rules_copy and lh_rules_complete, changes only
 * lh_rules_set.
 *
 * Refusals carry the CKR_ name as their reason ("attribute-read-only" for CKR_ATTRIBUTE_READ_ONLY, and so
 * on); code LH_E_INVALID for a template that cannot be, LH_E_DENIED for what this object or this user may
 * not. Every function may also fail by LH_E_NOMEM. Results are untouched on error. Threads: any. Source: PKCS
 * #11 Base Specification 3.2, section 4; docs/decisions/0013-roles-of-keys.md. */
#ifndef LH_OBJECT_RULES_H
#define LH_OBJECT_RULES_H

#include "object/attributes.h"
#include "p11/mechanism.h"

/* Who asks: whose PIN the application has logged in with. (Whether its session may write is the module's.) */
enum lh_rules_user { LH_RULES_PUBLIC, LH_RULES_USER, LH_RULES_SO };

/* Attributes that objects carry and nobody sees; no template may name them. CK_ULONG.
 * HISTORY: LH_HISTORY_ bits, never cleared, inherited by copies. */
#define LH_RULES_HISTORY 0x804c48f0UL
enum {
    /* roles that the key, a copy of it or its private half has or has had */
    LH_HISTORY_ENCRYPT = 1,
    LH_HISTORY_DECRYPT = 2,
    LH_HISTORY_WRAP = 4,
    LH_HISTORY_UNWRAP = 8,
    LH_HISTORY_SIGN = 16, /* SIGN, SIGN_RECOVER, VERIFY of a secret key: whatever computes with the key */
    LH_HISTORY_DERIVE = 32,
    LH_HISTORY_ENCAPSULATE = 64, /* DECAPSULATE of a private key */
    LH_HISTORY_MIXED = 256,      /* derived by mixing a sensitive key with data that others know; or unwrapped
                                    by a guardian, or once extractable, so that there may be another key of the
                                    same value, or of which it is a part: it is mixed with nothing */
    LH_HISTORY_CLOSED = 512,     /* public key: its private half, made with it, is a guardian */
    LH_HISTORY_CONFINED = 1024,  /* born with CKA_ALLOWED_MECHANISMS that all prove integrity, or closed */
    LH_HISTORY_COPIED = 2048,    /* copied while it could have been closed, or such a copy: it never can be */
};

/* --- new objects -----------------------------------------------------------------------------------------*/

/* C_CreateObject. LH_RULES_PUBLIC may create public objects only ("user-not-logged-in").
 * Reasons: "template-incomplete", "template-inconsistent", "attribute-type-invalid",
 * "attribute-value-invalid", "attribute-read-only", "user-not-logged-in". Keys get LOCAL, ALWAYS_SENSITIVE
 * and NEVER_EXTRACTABLE false: their value has been outside. */
LH_MUST lh_err lh_rules_create(const lh_attributes *template, enum lh_rules_user user, lh_attributes **ret);
/* C_GenerateKey: a secret key, or domain parameters, by row. "template-inconsistent" where class or key type
 * are not what the row makes. */
LH_MUST lh_err lh_rules_generate(
    const lh_mechanism *row, const lh_attributes *template, enum lh_rules_user user, lh_attributes **ret);
/* C_GenerateKeyPair. Either template may be empty: defaults decide. */
LH_MUST lh_err lh_rules_generate_pair(const lh_mechanism *row, const lh_attributes *public_template,
    const lh_attributes *private_template, enum lh_rules_user user, lh_attributes **ret_public,
    lh_attributes **ret_private);
/* C_UnwrapKey and C_UnwrapKeyAuthenticated. The unwrapping key's CKA_UNWRAP_TEMPLATE is enforced. Asks
 * lh_rules_may_use(LH_USE_UNWRAP) to have been asked before. Where lh_rules_is_guardian(unwrapping), unwrap
 * the whole value whatever CKA_VALUE_LEN says: lh_rules_complete compares. */
LH_MUST lh_err lh_rules_unwrap(const lh_attributes *unwrapping, const lh_mechanism *row,
    const lh_attributes *template, enum lh_rules_user user, lh_attributes **ret);

/* What a key is derived from: the base key, and others that the mechanism's parameters name. */
typedef struct {
    const lh_attributes *base;
    const lh_attributes *const *others;
    size_t n_others;
    size_t natural_len; /* bytes that the mechanism gives when none are cut off (lh_key_derive_default_len);
                           0: as many as are asked for */
} lh_rules_derivation;

/* C_DeriveKey, each derived key. CKA_DERIVE_TEMPLATE is enforced. Reasons also "key-function-not-permitted"
 * (this derivation from this key would tell of the key), "key-size-range" (too short a key from a sensitive
 * one). */
LH_MUST lh_err lh_rules_derive(const lh_rules_derivation *from, const lh_mechanism *row,
    const lh_attributes *template, enum lh_rules_user user, lh_attributes **ret);
/* C_EncapsulateKey and C_DecapsulateKey: key is the public or private key; its CKA_ENCAPSULATE_TEMPLATE or
 * CKA_DECAPSULATE_TEMPLATE is enforced. */
LH_MUST lh_err lh_rules_encapsulate(const lh_attributes *key, unsigned use, const lh_attributes *template,
    enum lh_rules_user user, lh_attributes **ret);
/* C_CopyObject. "action-prohibited" where CKA_COPYABLE is false. The copy has no CKA_UNIQUE_ID yet. Where
 * lh_rules_can_close(object), the object itself must become what lh_rules_mark_copied says, before or
 * together with the copy. */
LH_MUST lh_err lh_rules_copy(
    const lh_attributes *object, const lh_attributes *template, enum lh_rules_user user, lh_attributes **ret);
/* C_SetAttributeValue: the object as it is then. "action-prohibited" where CKA_MODIFIABLE is false. */
LH_MUST lh_err lh_rules_set(
    const lh_attributes *object, const lh_attributes *template, enum lh_rules_user user, lh_attributes **ret);

/* A part of a key that has been made (object: the lh_attributes to add it to): has lh_key_part_fn's shape,
 * for lh_key_export. A part that the template gave otherwise is "attribute-value-invalid"; one that the class
 * does not have is passed over. */
LH_MUST lh_err lh_rules_take_part(void *object, unsigned long type, lh_bytes value, bool secret);

/* What lh_rules_complete cannot know. */
typedef struct {
    uint8_t unique_id[16]; /* random, for CKA_UNIQUE_ID */
    lh_bytes check_value;  /* 3 bytes, or none where there is none (not a key, public key) */
} lh_rules_completion;

/* Ends the making of an object: CKA_UNIQUE_ID; CKA_CHECK_VALUE (compared with what the template said:
 * "attribute-value-invalid"; an empty one there means none is wanted); CKA_VALUE_LEN, CKA_MODULUS_BITS,
 * CKA_PRIME_BITS from the values, compared likewise. "template-incomplete" where a value is missing that
 * every object of that class has. */
LH_MUST lh_err lh_rules_complete(lh_attributes *object, const lh_rules_completion *facts);

/* The parts of a key object for lh_key_import, or of a template for lh_key_generate: all attributes that are
 * values of the key itself. Up to LH_RULES_PARTS_MAX; borrowed from object. */
#define LH_RULES_PARTS_MAX 16
typedef struct {
    size_t count;
    struct {
        unsigned long type;
        lh_bytes value;
    } part[LH_RULES_PARTS_MAX];
} lh_rules_parts;
void lh_rules_key_parts(const lh_attributes *object, lh_rules_parts *ret);

/* --- reading ---------------------------------------------------------------------------------------------*/

enum lh_rules_answer {
    LH_RULES_VALUE,
    LH_RULES_SENSITIVE, /* CKR_ATTRIBUTE_SENSITIVE */
    LH_RULES_NONE,      /* CKR_ATTRIBUTE_TYPE_INVALID */
};

/* May this user see the object at all: private ones the user alone. */
bool lh_rules_visible(const lh_attributes *object, enum lh_rules_user user);
/* One attribute. ret: borrowed; filled where the answer is LH_RULES_VALUE. */
enum lh_rules_answer lh_rules_read(const lh_attributes *object, unsigned long type, lh_bytes *ret);
/* The object has every attribute of the template with its value. Values that may not be read match nothing.
 */
bool lh_rules_match(const lh_attributes *object, const lh_attributes *template);

/* --- using -----------------------------------------------------------------------------------------------*/

/* May this key do that now. use: one LH_USE_ bit; wall: seconds since the epoch.
 * Reasons, in this order: "key-handle-invalid" (no key), "key-type-inconsistent" (class or type does not fit
 * the row and use; "wrapping-key-type-inconsistent", "unwrapping-key-type-inconsistent" where so),
 * "key-function-not-permitted" (CKA_SIGN …), "mechanism-invalid" (not in CKA_ALLOWED_MECHANISMS),
 * "action-prohibited" (before CKA_START_DATE or after CKA_END_DATE; both days count, in UTC).
 * (A guardian confines itself by CKA_ALLOWED_MECHANISMS to those that prove integrity.) */
LH_MUST lh_err lh_rules_may_use(
    const lh_attributes *key, const lh_mechanism *row, unsigned use, int64_t wall);
/* May `key` be wrapped by `wrapping` with row (after lh_rules_may_use(wrapping, row, LH_USE_WRAP)).
 * Reasons: "key-handle-invalid" (not a secret or private key), "key-unextractable", "key-not-wrappable"
 * (CKA_WRAP_WITH_TRUSTED and the wrapping key is not trusted; CKA_WRAP_TEMPLATE does not match; a sensitive
 * key with limits that would stay behind: dates, CKA_ALWAYS_AUTHENTICATE, CKA_ALLOWED_MECHANISMS, templates;
 * a sensitive key and a wrapping key that is no guardian, or a mechanism without integrity),
 * "user-not-logged-in" (a sensitive key, whether CKA_PRIVATE or not, is wrapped for the user alone),
 * "wrapping-key-size-range" (weaker than what it is to wrap). */
LH_MUST lh_err lh_rules_may_wrap(const lh_attributes *wrapping, const lh_attributes *key,
    const lh_mechanism *row, enum lh_rules_user user);
/* C_DestroyObject: "action-prohibited" where CKA_DESTROYABLE is false, "user-not-logged-in" where the object
 * is not this user's to see. */
LH_MUST lh_err lh_rules_may_destroy(const lh_attributes *object, enum lh_rules_user user);
/* C_DigestKey: "key-indigestible" for what may not be read. */
LH_MUST lh_err lh_rules_may_digest(const lh_attributes *key);
/* A key that can protect sensitive keys: made here, never outside, and able to do nothing but wrap and
 * unwrap, now and ever; or a public key of another that the SO trusts (docs/decisions/0013-roles-of-keys.md).
 */
bool lh_rules_is_guardian(const lh_attributes *key);
/* A secret key that is no guardian yet, but can become one for good: made here, always sensitive, never
 * extractable, for nothing but wrapping, never copied. Once false, false for ever. */
bool lh_rules_can_close(const lh_attributes *key);
/* Whether wrapping has to be closed before what it makes of key is given to anybody: it can be, and key is
 * sensitive. Ask lh_rules_may_wrap about the closed one then. */
bool lh_rules_wrap_closes(const lh_attributes *wrapping, const lh_attributes *key);
/* The key as a guardian: CKA_ALLOWED_MECHANISMS are those of its own that prove integrity. LH_E_DENIED
 * "key-not-wrappable" where it cannot become one. */
LH_MUST lh_err lh_rules_close(const lh_attributes *key, lh_attributes **ret);
/* The key after a copy was made of it, where lh_rules_can_close. */
LH_MUST lh_err lh_rules_mark_copied(const lh_attributes *key, lh_attributes **ret);
/* CKA_ALWAYS_AUTHENTICATE is true. */
bool lh_rules_asks_login(const lh_attributes *key);

/* --- objects that the token itself has -------------------------------------------------------------------*/

/* The CKO_PROFILE objects of every standalone partition, index 0 …; false after the last. *ret is a new set.
 */
LH_MUST lh_err lh_rules_profile(size_t index, lh_attributes **ret, bool *ret_exists);

#endif
