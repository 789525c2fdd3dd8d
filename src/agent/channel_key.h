/* The key by which the vault knows this host's agent on the network: a file in the agent's state folder, made
 * at first use and never again. */
#ifndef LH_AGENT_CHANNEL_KEY_H
#define LH_AGENT_CHANNEL_KEY_H

#include "channel/identity.h"

#define LH_CHANNEL_KEY_FILE "channel.key" /* LH_CHANNEL_KEY bytes, mode 0600 */

/* Read the key, or make it where there is none: durable before this returns. A file that is there is never
 * written. Errors: LH_E_CORRUPT "channel-key-file" (another length, or no scalar), LH_E_DENIED
 * "channel-key-mode" (not a file of ours alone), LH_E_IO, LH_E_NOMEM. */
LH_MUST lh_err lh_channel_key_open(lh_crypto *c, const char *state_dir, lh_secret **ret);

#endif
