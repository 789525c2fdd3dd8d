/* Forms of `leasehold propose` for standalone partitions and certificates; each makes its proposal. */
#ifndef LH_TOOLS_PROPOSE_PARTITION_H
#define LH_TOOLS_PROPOSE_PARTITION_H

#include "cli.h"

LH_MUST lh_err propose_partition_create(lh_cli *cli);
LH_MUST lh_err propose_partition_destroy(lh_cli *cli);
LH_MUST lh_err propose_certificate_attach(lh_cli *cli);
LH_MUST lh_err propose_certificate_remove(lh_cli *cli);

#define PROPOSE_PARTITION_OPTIONS                                                                            \
    {"user", "NAME|UID", "partition.create: a user who may see it; repeat (else everybody)"},                \
        {"so", "pin|quorum", "partition.create: who its security officer is (pin, where left out)"},         \
        {"role", "NAME", "certificate.*: the role"},                                                         \
        {"workload", "ID", "certificate.*: the workload's SPIFFE ID"},                                       \
    {                                                                                                        \
        "chain", "FILE.pem", "certificate.attach: the certificates, the key's own first"                     \
    }

#endif
