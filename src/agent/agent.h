/* leasehold-agent as such: the local listener, the applications' connections, the link to the vault. main.c
 * makes the parts and waits. docs/agent.md; docs/attestation.md has the protocol. */
#ifndef LH_AGENT_AGENT_H
#define LH_AGENT_AGENT_H

#include "agent/config.h"
#include "attester/attester.h"
#include "channel/identity.h"
#include "identity/client.h"

typedef struct lh_agent lh_agent;

/* All is borrowed for the agent's life; config has a vault and its key. */
typedef struct {
    const lh_agent_config *config;
    lh_crypto *crypto;
    lh_tpm *tpm;
    lh_attester *attester;
    lh_identity_client *identity;
    lh_channel_identity *channel; /* this host's key */
    int listen_fd;                /* of lh_greeter_bind; taken over, on error too */
} lh_agent_options;

/* Starts to listen and to dial. */
LH_MUST lh_err lh_agent_new(const lh_agent_options *options, lh_agent **ret);
/* Closes every connection and the link. Takes NULL. */
void lh_agent_free(lh_agent *agent);
LH_DEFINE_FREEP(lh_agent, lh_agent_free)

#endif
