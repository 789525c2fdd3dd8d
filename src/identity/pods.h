/* Labels of pods, from a file that whoever runs Kubernetes on this host keeps up to date:
 *
 *   pods:
 *     0f3c5a1e-7b1d-4c6e-9f00-4b1c2d3e4f50: { app: payments, tier: backend }
 *
 * Its labels are facts of the workloads in those pods, so it must be root's, or the reader's own user's, and
 * writable by nobody else, and so must its folder: else it is refused and no pod has labels. It is read again
 * when it has changed. Threads: any. */
#ifndef LH_IDENTITY_PODS_H
#define LH_IDENTITY_PODS_H

#include "codec/problem.h"
#include "identity/identity.h"

#define LH_PODS_FILE_MAX (1u << 20) /* bytes of the file */
#define LH_PODS_MAX 4096            /* pods in it */
#define LH_PODS_LABELS 16           /* labels of one pod */

typedef struct lh_pods lh_pods;

/* Parse a document. As lh_policy_parse. Errors: LH_E_INVALID "document-invalid"; LH_E_NOMEM. */
LH_MUST lh_err lh_pods_parse(lh_bytes doc, const char *file, lh_pods **ret, lh_problems *problems);
void lh_pods_free(lh_pods *pods);
LH_DEFINE_FREEP(lh_pods, lh_pods_free)
/* "NAME=VALUE" and a line break for each label, sorted by name; "" for a pod that is not there. Borrowed. */
const char *lh_pods_labels(const lh_pods *pods, const char *pod);

/* The file, kept open to look at. */
typedef struct lh_pods_file lh_pods_file;
/* path: copied. The file need not exist yet. LH_E_NOMEM. */
LH_MUST lh_err lh_pods_file_new(const char *path, lh_pods_file **ret);
void lh_pods_file_free(lh_pods_file *file);
LH_DEFINE_FREEP(lh_pods_file, lh_pods_file_free)
/* The labels of a pod now. Errors: LH_E_ATTESTATION "pods-file" (it is not as it must be, or cannot be read:
 * then nothing is known of any pod). ret: "" where the pod is not in it. */
LH_MUST lh_err lh_pods_file_labels(
    lh_pods_file *file, const char *pod, char ret[LH_IDENTITY_POD_LABELS_SIZE]);

#endif
