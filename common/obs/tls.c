#include "common/obs/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/crypto/hmac.h"
#include "common/obs/log.h"

#define PEM_BYTES_MAX ((size_t)1 << 20)

/* Reads a file into a NUL-terminated text; NULL: why says the reason. */
static char *read_pem(char const *path, bool is_key, coh_buf_t *why)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0) {
        coh_buf_printf(why, "%s", strerror(errno));
    } else if (!S_ISREG(st.st_mode) || st.st_size > (off_t)PEM_BYTES_MAX) {
        coh_buf_printf(why, "not a file of at most 1 MiB");
    } else if (is_key && (st.st_mode & 07) != 0) {
        coh_buf_printf(
            why, "open to others (mode %04o): chmod o= it", (unsigned)st.st_mode & 07777u);
    } else {
        size_t n   = (size_t)st.st_size;
        char *text = coh_calloc(1, n + 1);
        if (read(fd, text, n) == (ssize_t)n && strlen(text) == n) {
            (void)close(fd);
            return text;
        }
        coh_buf_printf(why, "cannot be read as text");
        coh_secret_wipe(text, n);
        free(text);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return NULL;
}

/* Never asks for a passphrase. */
static int no_passphrase(char *out, int n, int writes, void *arg)
{
    (void)out;
    (void)n;
    (void)writes;
    (void)arg;
    return -1;
}

static void put_library_error(coh_buf_t *why, char const *what)
{
    char const *reason = ERR_reason_error_string(ERR_peek_last_error());
    coh_buf_printf(why, "%s%s%s", what, reason != NULL ? ": " : "", reason != NULL ? reason : "");
    ERR_clear_error();
}

static void warn_of_validity(X509 const *cert, char const *path)
{
    int from        = X509_cmp_current_time(X509_get0_notBefore(cert));
    int until       = X509_cmp_current_time(X509_get0_notAfter(cert));
    char const *why = from > 0 ? "it is not valid yet" : until < 0 ? "it has expired" : NULL;
    if (why != NULL) {
        char quoted[512];
        COH_LOG_WRN("tls",
                    "certificate",
                    "file=%s why=\"%s\"",
                    coh_log_quote(quoted, sizeof(quoted), path, strlen(path)),
                    why);
    }
}

/* The first certificate of a chain of which all can be read, or NULL. */
static X509 *first_cert(char const *text, coh_buf_t *why)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    COH_ASSERT(bio != NULL);
    ERR_clear_error();
    X509 *first = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
    X509 *next  = first;
    while (next != NULL) {
        next = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
        if (next != NULL) {
            X509_free(next);
        }
    }
    if (first == NULL || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        put_library_error(why, "not a chain of certificates in PEM");
        X509_free(first);
        first = NULL;
    }
    ERR_clear_error();
    BIO_free(bio);
    return first;
}

static EVP_PKEY *read_key(char const *text, coh_buf_t *why)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    COH_ASSERT(bio != NULL);
    ERR_clear_error();
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    if (key == NULL) {
        put_library_error(why, "not a private key in PEM without a passphrase");
    }
    BIO_free(bio);
    return key;
}

coh_err_t coh_tls_load(coh_tls_t *out,
                       char const *section,
                       char const *cert_path,
                       char const *key_path,
                       coh_buf_t *err_text)
{
    *out = (coh_tls_t){0};
    if (cert_path[0] == '\0' && key_path[0] == '\0') {
        return COH_OK;
    }
    if (cert_path[0] == '\0' || key_path[0] == '\0') {
        coh_buf_printf(err_text, "%s-tls-cert and %s-tls-key go together", section, section);
        return COH_EINVAL;
    }
    coh_buf_t why      = COH_BUF_INIT;
    char const *option = "cert";
    char const *path   = cert_path;
    EVP_PKEY *key      = NULL;
    out->cert          = read_pem(cert_path, false, &why);
    X509 *cert         = out->cert != NULL ? first_cert(out->cert, &why) : NULL;
    if (cert != NULL) {
        option   = "key";
        path     = key_path;
        out->key = read_pem(key_path, true, &why);
        key      = out->key != NULL ? read_key(out->key, &why) : NULL;
    }
    if (key != NULL && X509_check_private_key(cert, key) != 1) {
        coh_buf_printf(&why, "not the key of the certificate in %s", cert_path);
    }
    ERR_clear_error();
    if (why.n == 0) {
        warn_of_validity(cert, cert_path);
    } else {
        coh_buf_printf(
            err_text, "%s-tls-%s %s: %.*s", section, option, path, (int)why.n, (char const *)why.p);
        coh_tls_free(out);
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    coh_err_t rc = why.n == 0 ? COH_OK : COH_EINVAL;
    coh_buf_free(&why);
    return rc;
}

void coh_tls_free(coh_tls_t *tls)
{
    if (tls->key != NULL) {
        coh_secret_wipe(tls->key, strlen(tls->key));
    }
    free(tls->key);
    free(tls->cert);
    *tls = (coh_tls_t){0};
}
