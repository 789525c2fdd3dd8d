/* Every command, defined in its cmd_<verb>.c; listed in main.c in the order that `leasehold help` shows. */
#ifndef LH_TOOLS_COMMANDS_H
#define LH_TOOLS_COMMANDS_H

#include "cli.h"

extern const cli_command cmd_init;
extern const cli_command cmd_status;
extern const cli_command cmd_seal;
extern const cli_command cmd_unseal;
extern const cli_command cmd_propose;
extern const cli_command cmd_proposals;
extern const cli_command cmd_show;
extern const cli_command cmd_approve;
extern const cli_command cmd_deny;
extern const cli_command cmd_withdraw;
extern const cli_command cmd_policy_check;
extern const cli_command cmd_policy_show;
extern const cli_command cmd_policy_reference;
extern const cli_command cmd_reference_record;
extern const cli_command cmd_reference_files;
extern const cli_command cmd_reference_packages;
extern const cli_command cmd_reference_check;
extern const cli_command cmd_reference_upload;
extern const cli_command cmd_reference_list;
extern const cli_command cmd_key_list;
extern const cli_command cmd_key_public;
extern const cli_command cmd_lease_list;
extern const cli_command cmd_lease_show;
extern const cli_command cmd_lease_end;
extern const cli_command cmd_lease_revoke;
extern const cli_command cmd_evidence_verify;
extern const cli_command cmd_evidence_ak;
extern const cli_command cmd_partition_list;
extern const cli_command cmd_partition_show;
extern const cli_command cmd_host_enrol;
extern const cli_command cmd_host_retire;
extern const cli_command cmd_host_list;
extern const cli_command cmd_host_show;
extern const cli_command cmd_hold_list;
extern const cli_command cmd_hold_add;
extern const cli_command cmd_hold_lift;
extern const cli_command cmd_log_show;
extern const cli_command cmd_log_verify;
extern const cli_command cmd_log_checkpoint;
extern const cli_command cmd_log_keys;
extern const cli_command cmd_log_export;
extern const cli_command cmd_explain;
extern const cli_command cmd_dev;
extern const cli_command cmd_completion;

/* All of them (main.c). */
const cli_command *const *cli_commands(size_t *ret_count);
/* The operations that `propose` has a form for; NULL ends them (cmd_propose.c). */
extern const char *const cli_operations[];

#endif
