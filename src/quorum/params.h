/* Readers of operations' parameters, for the rows of operation.c. */
#ifndef LH_QUORUM_PARAMS_H
#define LH_QUORUM_PARAMS_H

#include "codec/bin.h"
#include "quorum/operation.h"

LH_MUST lh_err lh_params_read_nothing(lh_crypto *c, lh_bytes bytes, lh_params *params);
LH_MUST lh_err lh_params_read_parent(lh_crypto *c, lh_bytes bytes, lh_params *params);
LH_MUST lh_err lh_params_read_officers(lh_crypto *c, lh_bytes bytes, lh_params *params);
LH_MUST lh_err lh_params_read_hold(lh_crypto *c, lh_bytes bytes, lh_params *params);
LH_MUST lh_err lh_params_read_selector(lh_crypto *c, lh_bytes bytes, lh_params *params);
LH_MUST lh_err lh_params_read_lease(lh_crypto *c, lh_bytes bytes, lh_params *params);

LH_MUST lh_err lh_params_read_partition(lh_crypto *c, lh_bytes bytes, lh_params *params);
LH_MUST lh_err lh_params_read_partition_name(lh_crypto *c, lh_bytes bytes, lh_params *params);
LH_MUST lh_err lh_params_read_initialize(lh_crypto *c, lh_bytes bytes, lh_params *params);
LH_MUST lh_err lh_params_read_pin(lh_crypto *c, lh_bytes bytes, lh_params *params);
LH_MUST lh_err lh_params_read_certificates(lh_crypto *c, lh_bytes bytes, lh_params *params);
LH_MUST lh_err lh_params_read_host(lh_crypto *c, lh_bytes bytes, lh_params *params);
LH_MUST lh_err lh_params_read_host_name(lh_crypto *c, lh_bytes bytes, lh_params *params);
LH_MUST lh_err lh_params_read_certified(lh_crypto *c, lh_bytes bytes, lh_params *params);

/* A selector in records; a failure to read shows in r. */
void lh_selector_encode(const lh_selector *selector, lh_buf *out);
void lh_selector_decode(lh_reader *r, lh_selector *ret);
/* Whether it names nothing, and so would match everything. */
bool lh_selector_empty(const lh_selector *selector);

#endif
