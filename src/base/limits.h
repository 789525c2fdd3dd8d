/* Every limit on what comes from outside, in one place, with its unit. */
#ifndef LH_BASE_LIMITS_H
#define LH_BASE_LIMITS_H

#define LH_LIMIT_MESSAGE 131072             /* bytes in one message of the wire protocol, header included */
#define LH_LIMIT_DOCUMENT 65536             /* bytes in a policy, roster or reference document */
#define LH_LIMIT_NAME 128                   /* bytes in the name of a role, officer, parent … */
#define LH_LIMIT_SPIFFE_ID 256              /* bytes in a workload's SPIFFE ID */
#define LH_LIMIT_TEXT_LINE 4096             /* bytes in one line of an approval text */
#define LH_LIMIT_OFFICERS 32                /* officers in a roster */
#define LH_LIMIT_OFFICER_KEYS 8             /* keys of one officer */
#define LH_LIMIT_PUBLIC_KEY 4096            /* bytes in an OpenSSH public key line */
#define LH_LIMIT_SIGNATURE 8192             /* bytes in an SSHSIG armor */
#define LH_LIMIT_PROPOSALS 64               /* proposals open at once */
#define LH_LIMIT_PROPOSAL_LIFE 604800       /* seconds until a proposal expires, at most */
#define LH_LIMIT_WORKLOADS 4096             /* workloads in a policy */
#define LH_LIMIT_ROLES 4096                 /* roles in a policy */
#define LH_LIMIT_GRANTS 16384               /* grants in a policy */
#define LH_LIMIT_CONNECTIONS 8192           /* clients of one daemon */
#define LH_LIMIT_HOSTS_CONNECTIONS 4096     /* of those, processes of other hosts */
#define LH_LIMIT_USER_CONNECTIONS 2048      /* of one uid (root excepted) */
#define LH_LIMIT_USER_OPERATIONS 32768      /* multi-part operations of one uid (root excepted) */
#define LH_LIMIT_OPERATIONS 1024            /* multi-part operations of one connection */
#define LH_LIMIT_PATH 4096                  /* bytes in a path */
#define LH_LIMIT_FIND 4096                  /* objects in the answer to one search */
#define LH_LIMIT_RANDOM 65536               /* bytes of one random request */
#define LH_LIMIT_YAML_DEPTH 16              /* lists and maps within each other in a YAML document */
#define LH_LIMIT_YAML_NODES 16384           /* scalars, lists and maps in a YAML document, keys included */
#define LH_LIMIT_TPM_JOBS 256               /* callers waiting for the TPM at once */
#define LH_LIMIT_SEAL 4096                  /* bytes in a seal blob */
#define LH_LIMIT_RECORD 262144              /* bytes of plaintext in one record */
#define LH_LIMIT_FILESET 33554432           /* bytes in a set of files that reference values name */
#define LH_LIMIT_FILESET_PART 65536         /* bytes of one that are uploaded at once */
#define LH_LIMIT_RECORD_TERMS 16            /* search terms of one record */
#define LH_LIMIT_LOG_ENTRY 16384            /* bytes in one log entry */
#define LH_LIMIT_STORE_QUEUE 1024           /* callers waiting for a commit */
#define LH_LIMIT_STORE_GROUP 256            /* callers in one commit */
#define LH_LIMIT_EXE_SIZE 1073741824        /* bytes in an executable whose digest is taken */
#define LH_LIMIT_EXE_HASH_MS 2000           /* milliseconds for hashing one executable */
#define LH_LIMIT_ATTEST_MS 5000             /* milliseconds for one answer of the attest process */
#define LH_LIMIT_ATTEST_CALLS 1024          /* callers waiting for the attest process at once */
#define LH_LIMIT_PROC_FILE 65536            /* bytes read of one file of /proc/<pid>, mountinfo excepted */
#define LH_LIMIT_MOUNTINFO 8388608          /* bytes read of a mountinfo */
#define LH_LIMIT_APPROVAL_TEXT 98304        /* bytes in an approval or genesis text */
#define LH_LIMIT_REASON 512                 /* bytes in the reason of a proposal */
#define LH_LIMIT_PROPOSALS_KEPT 256         /* proposals kept, finished ones included */
#define LH_LIMIT_PARENTS 1024               /* parent keys */
#define LH_LIMIT_HOLDS 4096                 /* holds that stand */
#define LH_LIMIT_PARTITIONS 1024            /* standalone partitions that exist at once */
#define LH_LIMIT_PARTITION_NAME 32          /* bytes in a standalone partition's name and label */
#define LH_LIMIT_PARTITION_USERS 256        /* users that a partition is limited to */
#define LH_LIMIT_CERTIFICATE 4096           /* bytes of DER in one certificate of a chain */
#define LH_LIMIT_CERTIFICATES 8             /* certificates in one chain */
#define LH_LIMIT_CHAINS 1024                /* certificate chains attached to leased keys */
#define LH_LIMIT_TEMPLATE 256               /* attributes in one template or object */
#define LH_LIMIT_TEMPLATE_DEPTH 4           /* templates within each other (CKA_WRAP_TEMPLATE …) */
#define LH_LIMIT_SECRET_VALUE 2048          /* bytes in a secret key that is imported, made or derived */
#define LH_LIMIT_PBKDF2_ITERATIONS 10000000 /* of one derivation from a password */
#define LH_LIMIT_DERIVE_DATA 65536          /* bytes of data that a derivation's parameter carries */
#define LH_LIMIT_DERIVE_FIELDS 32           /* data fields in a parameter of an SP 800-108 derivation */
#define LH_LIMIT_SESSION_OBJECTS 10000      /* session objects of all processes of one uid */
#define LH_LIMIT_SESSION_OBJECT_BYTES 67108864 /* bytes that they take */
#define LH_LIMIT_CACHED_KEYS 4096              /* objects of standalone partitions kept in memory for use */
#define LH_LIMIT_CACHED_KEY_BYTES 33554432     /* bytes that they take */
#define LH_LIMIT_PARTITION_OBJECTS 1000000     /* token objects of one standalone partition */
#define LH_LIMIT_LOGOUTS 4096                  /* logins whose end by logout is remembered */
#define LH_LIMIT_HOSTS 4096                    /* enrolled hosts */
#define LH_LIMIT_HOST_LABELS 16                /* labels of one host */
#define LH_LIMIT_TPM_PUBLIC 1024               /* bytes in a marshalled TPMT_PUBLIC */
#define LH_LIMIT_EK_CERTIFICATES 8   /* certificates that come with an endorsement key, its own first */
#define LH_LIMIT_EK_AUTHORITIES 1024 /* certificates of TPM manufacturers */
#define LH_LIMIT_EK_AUTHORITY_BYTES 4194304 /* bytes of PEM that they come in */
#define LH_LIMIT_HOST_IDENTITY 65536        /* bytes in a host's identity document */
#define LH_LIMIT_ATTESTER_WAITING 16384     /* requests that wait for a quote of this host's TPM */
#define LH_LIMIT_EVENT_LOG 1048576          /* bytes of a host's event log */
#define LH_LIMIT_EVENTS 4096                /* events in it */
#define LH_LIMIT_EVENT_DATA 65536           /* bytes of data of one event */
#define LH_LIMIT_IMA_PENDING 67108864       /* bytes of a host's IMA log that no quote has confirmed yet */
#define LH_LIMIT_IMA_PENDING_ALL 1073741824 /* the same of all hosts together, … */
#define LH_LIMIT_IMA_PENDING_FLOOR 1048576  /* … where a host has more than this */
#define LH_LIMIT_IMA_ENTRIES 1000000        /* entries of a host's IMA log */
#define LH_LIMIT_IMA_DATA 16384             /* bytes of template data of one entry */
#define LH_LIMIT_DIGESTS 16777216           /* digests of files stored for all hosts */
#define LH_LIMIT_LISTEN 16                  /* addresses at which hosts are listened for */
#define LH_LIMIT_LISTEN_TEXT 120            /* bytes in one of them */
#define LH_LIMIT_CHANNELS 1024              /* channels of hosts that are welcome */
#define LH_LIMIT_STRANGERS 256              /* channels of which it is not known yet: the oldest makes room */
#define LH_LIMIT_STRANGERS_SOURCE 16        /* of those, from one address */
#define LH_LIMIT_STRANGER_MS 30000          /* milliseconds until such a one is dropped */
#define LH_LIMIT_LINK_JOBS 256              /* frames of one channel that wait for a thread */
#define LH_LIMIT_LINK_JOB_BYTES 4194304     /* bytes that they take */
#define LH_LIMIT_LINK_QUEUE_BYTES 16777216  /* bytes that wait to be sent to one host */
#define LH_LIMIT_EVIDENCE_MS 15000          /* milliseconds in which a host answers a nonce */
#define LH_LIMIT_EVIDENCE_WAITERS 256       /* requests for evidence that one host has not answered */
#define LH_LIMIT_HOST_LINKS 4096            /* channels to hosts, activated or not */
#define LH_LIMIT_HOST_LINKS_WAITING 8       /* of one host, that are not activated yet */
#define LH_LIMIT_HOST_STREAMS 1024          /* applications' connections on one channel */
#define LH_LIMIT_HOLDER_JOBS 4096           /* frames of custody that wait for an agent's TPM */

#endif
