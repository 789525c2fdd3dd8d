/* The parts of lh_state that have a file each. On error the state is to be thrown away. */
#ifndef LH_QUORUM_STATE_INTERNAL_H
#define LH_QUORUM_STATE_INTERNAL_H

#include "quorum/state.h"

/* LH_E_LIMIT "state-limit" where n is max already. */
LH_MUST lh_err lh_state_check_room(size_t n, size_t max, const char *what);

/* state_partition.c */
void lh_state_partitions_clear(lh_state *state);
LH_MUST lh_err lh_state_partition_check(const lh_state *state, const lh_params *params);
LH_MUST lh_err lh_state_partition_apply(lh_state *state, const lh_change *change);

/* state_certificate.c */
void lh_state_certificates_clear(lh_state *state);
LH_MUST lh_err lh_state_certificate_check(const lh_state *state, const lh_params *params);
LH_MUST lh_err lh_state_certificate_apply(lh_state *state, const lh_change *change);

/* state_host.c */
void lh_state_hosts_clear(lh_state *state);
LH_MUST lh_err lh_state_host_check(const lh_state *state, const lh_params *params);
LH_MUST lh_err lh_state_host_apply(lh_state *state, const lh_change *change);

#endif
