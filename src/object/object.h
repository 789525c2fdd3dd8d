/* PKCS#11 objects of the leased partition: what a role looks like to an application. A role with a pair shows
 * a private and a public key, one with a symmetric key a secret key, all under one CKA_ID and labelled with
 * the role's name. Objects are made from policy and thrown away; nothing here is stored.
 *
 * Handles are hashes, so that a per: workload key keeps its handle through restarts of daemon and
 * application. Threads: an object does not change once made; reference counting is safe from any thread. */
#ifndef LH_OBJECT_OBJECT_H
#define LH_OBJECT_OBJECT_H

#include "base/bytes.h"
#include "base/limits.h"
#include "crypto/key.h"
#include "crypto/x509.h"
#include "p11/mechanism.h"

#define LH_OBJECT_KEY_ID_SIZE 16

/* LH_OBJECT_CERTIFICATE is public, needs no lease, and is never used as a key. */
enum lh_object_class {
    LH_OBJECT_PRIVATE = 1,
    LH_OBJECT_PUBLIC = 2,
    LH_OBJECT_SECRET = 3,
    LH_OBJECT_CERTIFICATE = 4,
};

/* What objects of one role have in common. Strings and allow are borrowed for the call that makes the
 * objects. */
typedef struct {
    const char *role;
    const char *workload;
    enum lh_key_kind kind;
    bool per_lease;                        /* a new key with each lease: its public value needs a lease */
    uint8_t key_id[LH_OBJECT_KEY_ID_SIZE]; /* CKA_ID; the lease's id where per_lease */
    const lh_mechanism *const *allow;
    size_t allow_count;
    const lh_key *key; /* its public half is copied; NULL where per_lease and no lease has been issued */
} lh_object_role;

typedef struct lh_object lh_object;

/* One object; one reference. LH_E_INVALID where the class does not fit the key's kind. */
LH_MUST lh_err lh_object_new(
    lh_crypto *c, const lh_object_role *role, enum lh_object_class class, lh_object **ret);
/* A certificate of a role's chain: the key's own (index 0) has the role's name and id, the others are
 * labelled "ROLE CA n" and have the SHA-1 of their public key as id. Copied. */
typedef struct {
    const char *role;
    const char *workload;
    uint8_t key_id[LH_OBJECT_KEY_ID_SIZE];
    size_t index;
    lh_bytes der;
    const lh_x509 *parts; /* der, read */
} lh_object_certificate;

LH_MUST lh_err lh_object_new_certificate(
    lh_crypto *c, const lh_object_certificate *certificate, lh_object **ret);
lh_object *lh_object_ref(lh_object *object);
void lh_object_unref(lh_object *object);
LH_DEFINE_FREEP(lh_object, lh_object_unref)

/* 1 to 2^62 - 1: from the key id and the class. */
LH_MUST lh_err lh_object_handle_of(
    lh_crypto *c, const uint8_t key_id[LH_OBJECT_KEY_ID_SIZE], enum lh_object_class class, uint64_t *ret);

uint64_t lh_object_handle(const lh_object *object);
enum lh_object_class lh_object_class_of(const lh_object *object);
bool lh_object_per_lease(const lh_object *object);
/* The public half of a public object, for verifying without a lease; NULL for others and where not yet known.
 */
const lh_key *lh_object_public_key(const lh_object *object);

/* Whether the role allows this mechanism. */
bool lh_object_allows(const lh_object *object, const lh_mechanism *row);

/* What attributes that change are told from; NULL lease_id: there is no lease. */
typedef struct {
    const uint8_t *lease_id; /* 16 bytes */
    int64_t expires;         /* wall seconds */
    uint64_t remaining;      /* uses; UINT64_MAX where not counted */
} lh_object_lease_view;

/* Append the attributes as the wire has them (wire/calls.h), for a search: those that change or need a lease
 * are only announced (LH_ATTRIBUTE_ASK). */
void lh_object_put_attributes(const lh_object *object, lh_buf *out);
/* Append one attribute's present value. */
void lh_object_put_attribute(
    const lh_object *object, uint32_t type, const lh_object_lease_view *lease, lh_buf *out);
/* True where telling this attribute needs an issued lease (the public value of a per: lease key). */
bool lh_object_needs_lease(const lh_object *object, uint32_t type);
/* A template of wire attributes (class, id, label, key type …) matches. Malformed templates are
 * LH_E_PROTOCOL. */
LH_MUST lh_err lh_object_matches(const lh_object *object, lh_bytes attributes, bool *ret);

#endif
