/* Standalone partitions of a development vault, initialised as any application would do it: through the
 * PKCS#11 module, in a process of its own. */
#ifndef LH_TOOLS_DEV_TOKEN_H
#define LH_TOOLS_DEV_TOKEN_H

#include "base/bytes.h"

#define DEV_PARTITIONS_MAX 64
#define DEV_TOKEN_COMMAND "dev-token" /* the helper: this program, called by itself only */
#define DEV_SO_PIN "12345678"         /* where none is given */
#define DEV_USER_PIN "1234"

typedef struct {
    const char *label; /* also the partition's name */
    const char *so_pin;
    const char *pin;
} dev_partition;

/* Initialise the tokens in slots 1, 2, 3 … and set their PINs. module: its path; the socket stands in the
 * environment. Errors: LH_E_IO "dev-token" where the module refused (what and why is on standard error). */
LH_MUST lh_err dev_token_initialize(const char *module, const dev_partition *partitions, size_t n);

/* The helper's main: what to do comes on standard input. Returns the exit status. */
int dev_token_main(void);

#endif
