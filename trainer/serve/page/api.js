// Requests to the service. Their addresses are relative, so that the page works below any path of a reverse proxy.

let token = "";

/** An answer that is no success, or none at all: `status` is then 0. Its message is a sentence for people. */
export class ServiceError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Keeps the token of later requests, in memory only. */
export function setToken(text) {
  token = text;
}

function errorOf(status, text) {
  try {
    const { message } = JSON.parse(text).error;
    if (typeof message === "string" && message) {
      return new ServiceError(message, status);
    }
  } catch {
    // A proxy before the service answers with a page of its own.
  }
  return new ServiceError(`The service answered with the status ${status} and no reason.`, status);
}

function resultOf(status, text) {
  if (status !== 200) {
    throw errorOf(status, text);
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new ServiceError("The service's answer is not JSON.", status);
  }
}

/** Returns the answer of /v1/model. */
export async function fetchModel() {
  let response;
  try {
    response = await fetch("v1/model", {
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      cache: "no-store",
    });
  } catch {
    throw new ServiceError("The service does not answer. Is it still running?", 0);
  }
  return resultOf(response.status, await response.text());
}

/**
 * Sends a file to /v1/predict and returns the answer. The name of the file is not sent.
 *
 * `onProgress` gets the part that is sent, from 0 to 1, and `onSent` is called when all is. An abort of `signal` ends
 * the request with an AbortError. This is XMLHttpRequest because fetch does not tell how much of a body is sent.
 */
export function predict(file, { signal, onProgress, onSent }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "v1/predict");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    if (token) {
      request.setRequestHeader("Authorization", `Bearer ${token}`);
    }
    request.upload.addEventListener("progress", (event) => onProgress(event.total ? event.loaded / event.total : 1));
    request.upload.addEventListener("load", onSent);
    request.addEventListener("load", () => {
      try {
        resolve(resultOf(request.status, request.responseText));
      } catch (error) {
        reject(error);
      }
    });
    request.addEventListener("error", () => {
      reject(new ServiceError("The connection to the service broke off, or the file cannot be read.", 0));
    });
    request.addEventListener("abort", () => reject(new DOMException("cancelled", "AbortError")));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(file);
  });
}
