/** Errors beyond this number say nothing new, and a chain of causes may be a circle. */
const maxErrors = 100;

/**
 * An error, its causes, the errors it collects, and theirs: each once, itself first, its cause next. What is no error is left out, and
 * so are the relatives of one that throws when it is looked at.
 */
export function relatedErrors(error: unknown): readonly Error[] {
  const found = new Set<unknown>([error]);
  const errors: Error[] = [];
  for (const each of found) {
    try {
      if (!(each instanceof Error)) continue;
      errors.push(each);
      const { cause, errors: collected } = each as Error & { readonly errors?: unknown };
      for (const one of [cause, ...(Array.isArray(collected) ? collected.slice(0, maxErrors) : [])])
        if (found.size < maxErrors) found.add(one);
    } catch {
      // It does not want to be looked at.
    }
  }
  return errors;
}
