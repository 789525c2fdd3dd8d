/* Reference values: what a host's PCRs may be. A document of its own:
 *
 *   references:
 *     debian12:
 *       pcrs: { 7: ["sha256:…", "sha256:…"] }
 *   self:                       # what the vault's own host is appraised against (assurance: self)
 *     reference: debian12
 *     labels: { env: prod }
 *
 * Threads: a parsed document may be read by any number of threads. */
#ifndef LH_VERIFY_REFERENCE_H
#define LH_VERIFY_REFERENCE_H

#include "codec/problem.h"

#define LH_REFERENCE_PCRS 24 /* PCRs of a PC client's TPM */

typedef struct lh_references lh_references;
typedef struct lh_reference lh_reference;

typedef struct {
    const char *name;
    const char *value;
} lh_reference_label;

/* Parse and check a document; as lh_policy_parse. Errors: LH_E_INVALID, "document-invalid"; LH_E_NOMEM. */
LH_MUST lh_err lh_references_parse(
    lh_bytes doc, const char *file, lh_references **ret, lh_problems *problems);
void lh_references_free(lh_references *references);
LH_DEFINE_FREEP(lh_references, lh_references_free)

/* NULL where there is none of that name. */
const lh_reference *lh_references_get(const lh_references *references, const char *name);
/* What the vault's own host is appraised against; NULL where the document has no self. */
const lh_reference *lh_references_self(const lh_references *references);
/* The labels of self, in document order; ret_count is set. */
const lh_reference_label *lh_references_self_labels(const lh_references *references, size_t *ret_count);

const char *lh_reference_name(const lh_reference *reference);
/* Bit n is set where PCR n has reference values. */
uint32_t lh_reference_mask(const lh_reference *reference);
/* The allowed values of a PCR, each 32 bytes; NULL and 0 where it has none. */
const uint8_t (*lh_reference_values(const lh_reference *reference, unsigned pcr, size_t *ret_count))[32];
/* True where PCR pcr may have this value. A PCR without reference values may have none. */
bool lh_reference_allows(const lh_reference *reference, unsigned pcr, const uint8_t value[32]);

/* Write a document that allows exactly these values of the PCRs in mask, under name, and names it as self.
 * name must pass lh_schema_is_name (LH_E_INVALID); an empty mask or one beyond PCR 23 is LH_E_INVALID. */
LH_MUST lh_err lh_references_template(
    const char *name, const uint8_t pcrs[LH_REFERENCE_PCRS][32], uint32_t mask, lh_buf *yaml);

#endif
