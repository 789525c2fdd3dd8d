/* The kernel's IMA measurement list in its binary form, as Linux shows it in
 * /sys/kernel/security/ima/binary_runtime_measurements. Pure: nothing is hashed here, nothing believed.
 *
 * An entry: u32 PCR ‖ SHA-1 template digest[20] (all zero: a violation) ‖ u32 ‖ template's name ‖ u32 ‖
 * template data; the data is fields, each u32 ‖ bytes. All integers are little-endian (big-endian machines
 * need ima_canonical_fmt). Templates taken: ima-ng, ima-sig, ima-buf, ima-modsig, evm-sig ("d-ng|n-ng|…"),
 * ima-ngv2 and ima-sigv2 ("d-ngv2|n-ng|…"). Bounds: LH_LIMIT_IMA_DATA bytes of template data, LH_IMA_NAME_MAX
 * of the name. Any bytes are safe to pass; all spans borrow. Source: Linux
 * Documentation/security/IMA-templates.rst; security/integrity/ima/ima_fs.c, ima_template_lib.c. */
#ifndef LH_CODEC_IMA_LOG_H
#define LH_CODEC_IMA_LOG_H

#include "base/bytes.h"

#define LH_IMA_NAME_MAX 32u      /* bytes of a template's name */
#define LH_IMA_PATH_MAX 4096u    /* bytes of a path (PATH_MAX), its NUL included */
#define LH_IMA_TEMPLATE_SHA1 20u /* bytes of the template digest in the list */
#define LH_IMA_DIGEST_MAX 64u    /* bytes of a file digest */

typedef struct {
    bool violation;         /* the kernel could not vouch for the digest: the PCR was extended with ones */
    lh_bytes template_name; /* "ima-ng" */
    lh_bytes template_data; /* what was hashed for the PCR */
    bool verity;            /* the digest is the file's fs-verity digest */
    lh_bytes algorithm;     /* "sha256" */
    lh_bytes digest;
    const char *path; /* NUL-terminated, within the entry; any bytes but NUL */
} lh_ima_entry;

/* Take the next entry off rest. *ret_more false, rest and ret untouched: rest ends within the entry, or is
 * empty: the rest comes later. Errors: LH_E_CORRUPT, each with a reason: "ima-template" a template that is
 * not taken (also "ima", whose digests are SHA-1) "ima-pcr"      an entry for another PCR than 10
 *   "ima-format"   sizes that contradict each other or pass the bounds, or a field that makes no sense */
LH_MUST lh_err lh_ima_log_next(lh_bytes *rest, lh_ima_entry *ret, bool *ret_more);

#endif
