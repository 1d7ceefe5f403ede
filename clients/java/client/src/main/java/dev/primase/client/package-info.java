/**
 * Client of Primase, a service for biological sequence models.
 *
 * <p>{@link dev.primase.client.PrimaseClient} is where to begin. Requests and answers are the
 * generated messages of the contract, in {@code dev.primase.esm2.v1} and its like.
 */
package dev.primase.client;
