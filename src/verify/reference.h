/* Reference values: what a host's PCRs may be. A document of its own:
 *
 *   references:
 *     debian12:
 *       pcrs: { 7: ["sha256:…", "sha256:…"] }
 *       files: ["sha256:…"]           # sets of files, by the SHA-256 of their text (fileset.h)
 *       exclude: [/etc/machine-id, /var/log/journal/]
 *       event_log: true               # the boot log is replayed; files imply it
 *   self:                       # what the vault's own host is appraised against (assurance: self)
 *     reference: debian12
 *     labels: { env: prod }
 *
 * Threads: a parsed document may be read by any number of threads. */
#ifndef LH_VERIFY_REFERENCE_H
#define LH_VERIFY_REFERENCE_H

#include "codec/problem.h"
#include "verify/fileset.h"

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

/* What to quote: the PCRs with values, and 0 to 10 where files are given (the IMA log is replayed to PCR 10,
 * and its first entry speaks of 0 to 9). */
uint32_t lh_reference_quote_mask(const lh_reference *reference);
/* Whether it names sets of files: then the IMA log is appraised, entry by entry. */
bool lh_reference_has_files(const lh_reference *reference);
/* Whether the boot log is to be replayed: where files are given, or the document says `event_log: true`. */
bool lh_reference_wants_event_log(const lh_reference *reference);

/* Give the references the sets that they name; those of sets that no reference names are left alone. Before
 * the references are shared between threads. */
void lh_references_attach(lh_references *references, lh_fileset *const *sets, size_t count);
/* Whether some reference of the document names a set of that hash. */
bool lh_references_name_files(const lh_references *references, const uint8_t hash[32]);
/* Whether every set that it names has been attached: until then none of its hosts is trusted. ret_missing:
 * the hash of the first that has not, where false; may be NULL. */
bool lh_reference_is_complete(const lh_reference *reference, const uint8_t **ret_missing);

enum lh_file_verdict { LH_FILE_KNOWN, LH_FILE_EXCLUDED, LH_FILE_UNKNOWN };
/* What it says of a file that was measured: its digest is in a set; its path is excluded; neither. Any
 * thread, while the references are there. */
enum lh_file_verdict lh_reference_file(
    const lh_reference *reference, const uint8_t digest[32], const char *path);
/* Whether a set knows that event of the boot log. For explanations only. */
bool lh_reference_knows_event(const lh_reference *reference, unsigned pcr, const uint8_t digest[32]);

/* Whether a path may be excluded: absolute, without empty, "." or ".." parts and patterns; a folder ends with
 * '/' and is at least two deep; nothing where programs and libraries are kept, nor anything of /etc but a
 * single file. What is too broad would let any program pass as a log file. */
bool lh_reference_may_exclude(const char *path);

/* Write a document that allows exactly these values of the PCRs in mask, under name, and names it as self.
 * name must pass lh_schema_is_name (LH_E_INVALID); an empty mask or one beyond PCR 23 is LH_E_INVALID. */
LH_MUST lh_err lh_references_template(
    const char *name, const uint8_t pcrs[LH_REFERENCE_PCRS][32], uint32_t mask, lh_buf *yaml);

#endif
