/* An owned set of attribute values, sorted by type: a template that came from an application, or all that an
 * object of a standalone partition is. Values have the wire's form (wire/calls.h): CK_BBOOL 1 byte (0 or 1),
 * CK_ULONG 8 bytes big-endian, lists 8 bytes each, templates nested in the same encoding, anything else its
 * bytes. A value that is secret lives in an lh_secret, every other one on the heap.
 *
 * Threads: a set that nobody changes may be read from any thread; one that is changed belongs to one thread.
 * Source: PKCS #11 Base Specification 3.2, section 4 (objects) and 3.4 (CK_ATTRIBUTE). */
#ifndef LH_OBJECT_ATTRIBUTES_H
#define LH_OBJECT_ATTRIBUTES_H

#include "base/bytes.h"
#include "base/limits.h"

typedef struct lh_attributes lh_attributes;

/* One attribute of a set; value is borrowed until the set changes or ends. */
typedef struct {
    uint32_t type;
    bool secret; /* never told while CKA_SENSITIVE is true or CKA_EXTRACTABLE false */
    lh_bytes value;
} lh_attribute;

/* Empty set. LH_E_NOMEM. */
LH_MUST lh_err lh_attributes_new(lh_attributes **ret);
LH_MUST lh_err lh_attributes_clone(const lh_attributes *set, lh_attributes **ret);
/* Wipes; takes NULL. */
void lh_attributes_free(lh_attributes *set);
LH_DEFINE_FREEP(lh_attributes, lh_attributes_free)

/* A template off the wire; any bytes are safe to pass. Values that can be secret (CKA_VALUE, RSA's private
 * parts …) count as such unless CKA_CLASS in the template is one whose values are public.
 * Errors: LH_E_CORRUPT (not the encoding, or flags are set); with a reason: LH_E_LIMIT
 * "attribute-value-invalid" (too many attributes, too long a value, nested too deep); LH_E_INVALID
 * "attribute-value-invalid" (a CK_BBOOL of 3 bytes, a date without digits …), "template-inconsistent" (one
 * type twice with different values; with the same value it counts once), LH_E_NOMEM. */
LH_MUST lh_err lh_attributes_parse(lh_bytes wire, lh_attributes **ret);
/* The wire's encoding, secret values included: for a record or for an application's template, never for an
 * answer about an object (lh_rules_read decides those). Failures stick in out. */
void lh_attributes_put(const lh_attributes *set, lh_buf *out);

size_t lh_attributes_count(const lh_attributes *set);
/* index < count; in ascending order of type. */
lh_attribute lh_attributes_at(const lh_attributes *set, size_t index);
/* False where there is none; ret may be NULL. An empty value is a value. */
bool lh_attributes_get(const lh_attributes *set, unsigned long type, lh_bytes *ret);
bool lh_attributes_has(const lh_attributes *set, unsigned long type);
/* fallback where there is none, or the value has not the length of its kind. */
bool lh_attributes_bool(const lh_attributes *set, unsigned long type, bool fallback);
uint64_t lh_attributes_ulong(const lh_attributes *set, unsigned long type, uint64_t fallback);

/* Replaces a value that is there. LH_E_NOMEM, LH_E_LIMIT (reason "attribute-value-invalid"). The set is as it
 * was where that fails. */
LH_MUST lh_err lh_attributes_set(lh_attributes *set, unsigned long type, lh_bytes value);
LH_MUST lh_err lh_attributes_set_secret(lh_attributes *set, unsigned long type, lh_bytes value);
LH_MUST lh_err lh_attributes_set_bool(lh_attributes *set, unsigned long type, bool value);
LH_MUST lh_err lh_attributes_set_ulong(lh_attributes *set, unsigned long type, uint64_t value);
/* None of that type is no error. */
void lh_attributes_remove(lh_attributes *set, unsigned long type);

/* Bytes that the set takes in memory, about: what an owner is charged and C_GetObjectSize answers. */
size_t lh_attributes_size(const lh_attributes *set);

#endif
