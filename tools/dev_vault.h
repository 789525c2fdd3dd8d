/* A development vault as processes: software TPM and daemon, and where wanted a host of its own beside them
 * (a second software TPM and an agent), in a folder. */
#ifndef LH_TOOLS_DEV_VAULT_H
#define LH_TOOLS_DEV_VAULT_H

#include "admin/client.h"
#include "dev_dir.h"
#include "dev_token.h"
#include "proc/child.h"
#include "proc/swtpm.h"

#define DEV_OFFICERS 2

typedef struct {
    dev_dir dir;
    bool have_dir;
    char socket[DEV_PATH_MAX + 32];
    char module[4096];
    lh_swtpm *swtpm;
    lh_child *daemon;
    lh_admin_client *client;
    /* With a host; else "" and NULL. */
    char agent_socket[DEV_PATH_MAX + 32];
    lh_swtpm *host_swtpm;
    lh_child *agent;
} dev_vault;

/* True where the person wants it to end: asked between the steps. */
typedef bool (*dev_stop_fn)(void *arg);

typedef struct {
    const char *dir; /* NULL: a new one in TMPDIR or /tmp */
    bool verbose;    /* the daemon's messages go to our standard error */
    bool blank;      /* one spare uninitialised partition at all times */
    bool legacy;     /* legacy mechanisms in every standalone partition */
    bool host;       /* an attested host, too: applications use the vault through its agent */
    size_t n_partitions;
    dev_partition partitions[DEV_PARTITIONS_MAX]; /* made and initialised, in slots 1, 2, 3 … */
    dev_stop_fn stop;
    void *stop_arg;
} dev_options;

/* Start everything up to an open vault with its policy. After an error, or LH_E_GONE "interrupted", the
 * caller still calls dev_vault_end. vault: zeroed. */
LH_MUST lh_err dev_vault_start(const dev_options *options, dev_vault *vault);
/* End the processes, remove the folder. Errors: LH_E_IO (something could not be removed). */
LH_MUST lh_err dev_vault_end(dev_vault *vault);

/* The founding and the policy, over the ordinary admin calls (dev_found.c). */
LH_MUST lh_err dev_found(dev_vault *vault, const dev_options *options);
/* Have the officers decide on an operation, both of them (dev_found.c). */
LH_MUST lh_err dev_carry(
    dev_vault *vault, const dev_options *options, const char *operation, const char *params);
/* The host: its TPM, its enrolment, its agent, up to where that has a vault (dev_host.c). */
LH_MUST lh_err dev_host_start(dev_vault *vault, const dev_options *options);
void dev_host_end(dev_vault *vault);
/* A program that lies beside this one in the build folder, or where installation puts it. */
LH_MUST lh_err dev_find_program(const char *const *places, const char *what, char *out, size_t size);
/* Where the messages of a process go: standard error where verbose, else a file of that name. */
LH_MUST lh_err dev_open_log(const dev_vault *vault, const char *name, bool verbose, int *ret_fd);
/* The end of that file, where a person sees it. */
void dev_show_log(const dev_vault *vault, const char *name);
/* Make and initialise the standalone partitions that are asked for. */
LH_MUST lh_err dev_partitions_make(dev_vault *vault, const dev_options *options);
/* Start making the officers' keys; they are there once the children have exited. */
LH_MUST lh_err dev_officers_start(const dev_vault *vault, lh_child *ret_children[DEV_OFFICERS]);
LH_MUST lh_err dev_officers_wait(lh_child *children[DEV_OFFICERS]);
/* LH_E_GONE reason "interrupted" where stop says so. */
LH_MUST lh_err dev_check_stop(const dev_options *options);

#endif
