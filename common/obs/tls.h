/* tls.h: certificates and keys for the servers that speak TLS. They are read and held against each other here, so that what is wrong is told with the file's name; the handshake
   is libmicrohttpd's, over GnuTLS. Read once: a new certificate needs a restart. */
#ifndef COH_TLS_H
#define COH_TLS_H

#include "common/base/buf.h"
#include "common/base/err.h"

/* For GnuTLS: TLS 1.2 and 1.3. */
#define COH_TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

typedef struct {
    char *cert; /* PEM, the server's own first, then those up to its authority; NULL: no TLS */
    char *key;  /* PEM */
} coh_tls_t;

/* coh_tls_load reads a certificate chain and its private key, without a passphrase, each at most 1 MiB of PEM; section, "http" or "status", names the options in
   messages. Both paths empty: no TLS. The key's file must not be open to all (no permissions for others). A certificate that is not valid today is warned of in the log.
   Returns: COH_OK; COH_EINVAL with the file and the reason in err_text, *out is empty then */
coh_err_t coh_tls_load(coh_tls_t *out,
                       char const *section,
                       char const *cert_path,
                       char const *key_path,
                       coh_buf_t *err_text);

/* coh_tls_free wipes the key. */
void coh_tls_free(coh_tls_t *tls);

#endif
