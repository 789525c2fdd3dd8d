/* The agent's configuration: any bytes give a configuration or problems; what is taken says what it says
 * again. */
#include "agent/config.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lh_problems problems = LH_PROBLEMS_INIT;
    lh_agent_config *config = NULL;
    lh_err err = lh_agent_config_parse(LH_BYTES(data, size), "agent.yaml", &config, &problems);
    if (lh_ok(err) != (config != NULL))
        abort();
    if (config && config->have_vault) {
        lh_address again;
        if (!lh_ok(lh_address_parse(config->vault.text, &again)) || again.kind != config->vault.kind ||
            strcmp(again.host, config->vault.host) != 0 || strcmp(again.path, config->vault.path) != 0)
            abort();
        if ((config->vault.kind == LH_ADDRESS_TCP) != (config->vault.port[0] != '\0'))
            abort();
    }
    lh_agent_config_free(config);
    lh_problems_clear(&problems);
    return 0;
}
