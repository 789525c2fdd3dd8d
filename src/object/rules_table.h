/* What PKCS #11 says of each attribute, as data: one row per type, or several where classes differ. Data
 * only. Source: PKCS #11 Base Specification 3.2, section 4 (tables of attributes and their footnotes) and the
 * key objects of section 6. */
#ifndef LH_OBJECT_RULES_TABLE_H
#define LH_OBJECT_RULES_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lh_rule_form {
    LH_FORM_BYTES,
    LH_FORM_BOOL,
    LH_FORM_ULONG,
    LH_FORM_LIST,     /* CK_ULONG[] */
    LH_FORM_DATE,     /* empty or YYYYMMDD */
    LH_FORM_TEMPLATE, /* attributes again */
};

/* Kinds of objects, as bits of a row. */
enum {
    LH_KIND_DATA = 1,
    LH_KIND_X509 = 2,
    LH_KIND_ATTRIBUTE_CERTIFICATE = 4,
    LH_KIND_PUBLIC = 8,
    LH_KIND_PRIVATE = 16,
    LH_KIND_SECRET = 32,
    LH_KIND_DOMAIN = 64,
    LH_KIND_TRUST = 128,
    LH_KIND_NSS = 256, /* NSS's own classes: trust, CRL, S/MIME */
    LH_KIND_PROFILE = 512,
    LH_KIND_CERTIFICATE = LH_KIND_X509 | LH_KIND_ATTRIBUTE_CERTIFICATE,
    LH_KIND_KEY = LH_KIND_PUBLIC | LH_KIND_PRIVATE | LH_KIND_SECRET,
    LH_KIND_HIDDEN_KEY = LH_KIND_PRIVATE | LH_KIND_SECRET,
    LH_KIND_ALL = 1023,
};

/* When something may or must be said, as bits. DERIVE stands for encapsulation too. */
enum {
    LH_WHEN_CREATE = 1,
    LH_WHEN_GENERATE = 2,
    LH_WHEN_UNWRAP = 4,
    LH_WHEN_DERIVE = 8,
    LH_WHEN_COPY = 16,
    LH_WHEN_SET = 32,
    LH_WHEN_NEW = 15,
    LH_WHEN_CHANGE = 48,
};

enum {
    LH_RULE_SECRET = 1,     /* not told while sensitive or not extractable */
    LH_RULE_ONLY_TRUE = 2,  /* a change may only make it true */
    LH_RULE_ONLY_FALSE = 4, /* a change may only make it false */
    LH_RULE_ONLY_LESS = 8,  /* a change may only take away: fewer entries, a smaller number */
    /* a date that is there may only move so; where there is none, any may be set */
    LH_RULE_ONLY_LATER = 128,
    LH_RULE_ONLY_EARLIER = 256,
    LH_RULE_SO = 16,       /* only the SO may make it true */
    LH_RULE_PART = 32,     /* a value of the key itself, which lh_key_import or lh_key_generate takes */
    LH_RULE_OPTIONAL = 64, /* absent where nobody gave it */
};

/* What it is where the template does not say. */
enum lh_rule_default {
    LH_DEFAULT_NONE, /* nothing (or whoever makes the key fills it in) */
    LH_DEFAULT_FALSE,
    LH_DEFAULT_TRUE,
    LH_DEFAULT_EMPTY,
    LH_DEFAULT_ZERO,
    LH_DEFAULT_SHA1,    /* CKM_SHA_1: names are hashed so unless said otherwise */
    LH_DEFAULT_PRIVATE, /* CKA_PRIVATE: secret and private keys, and what a user stores */
    LH_DEFAULT_RULE,    /* depends on the rest of the template: rules_create.c */
};

typedef struct {
    uint32_t type;
    enum lh_rule_form form;
    unsigned kinds;  /* LH_KIND_ bits that have it */
    uint32_t keys;   /* LH_TYPE_ bits of the keys that have it; 0: all */
    unsigned said;   /* LH_WHEN_ bits: a template may say it; else "attribute-read-only" */
    unsigned needed; /* LH_WHEN_ bits: a template must say it; else "template-incomplete" */
    unsigned flags;  /* LH_RULE_ bits */
    enum lh_rule_default fallback;
} lh_rule_row;

/* The row for objects of that kind (one LH_KIND_ bit) and key type (an LH_TYPE_ bit; 0 where not a key); NULL
 * where they have no such attribute. */
const lh_rule_row *lh_rule_find(unsigned long type, unsigned kind, uint32_t key);
/* Every row; ret_count is set. */
const lh_rule_row *lh_rule_table(size_t *ret_count);
/* The form of a type's values, the same for all kinds; LH_FORM_BYTES for types that have no row. */
enum lh_rule_form lh_rule_form_of(unsigned long type);
/* Some row of that type holds secrets. */
bool lh_rule_can_be_secret(unsigned long type);
/* Types of NSS's own that objects keep as bytes, whatever they are. */
bool lh_rule_is_nss(unsigned long type);

/* The kind of an object of class ck_class and (certificates) ck_certificate; 0 where such an object cannot
 * be.
 */
unsigned lh_rule_kind_of(uint64_t ck_class, uint64_t ck_certificate);

#endif
