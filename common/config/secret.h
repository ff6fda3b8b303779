/* secret.h: reads secrets from files: the job key, tokens. A secret is text without white space; what follows it on its line or after is ignored. It is never
   shown, in no error text either. */
#ifndef COH_SECRET_H
#define COH_SECRET_H

#include "common/base/buf.h"
#include "common/base/err.h"

/* Characters of a secret, and of a token at least. */
#define COH_SECRET_MAX       512u
#define COH_SECRET_TOKEN_MIN 16u

/* coh_secret_load reads the secret of at least min characters in the file at path, and appends it to out without a terminating NUL.
   The file must belong to the user of this process or to root, and be closed to all others (mode 0600 or less).
   Returns: COH_OK; COH_EINVAL with a text that names option and path in err_text; out is unchanged then */
coh_err_t coh_secret_load(coh_buf_t *out,
                          char const *option,
                          char const *path,
                          size_t min,
                          coh_buf_t *err_text);

#endif
