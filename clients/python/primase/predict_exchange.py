"""The exchange of Predict: one message answers for all items of a request, or refuses them all."""

from collections.abc import Iterator

from primase.esm2.v1 import esm2_service_pb2 as esm2_pb2
from primase.esm2_results import Candidate, MaskPrediction, Prediction
from primase.exchange import Exchange
from primase.results import ItemResult
from primase.tensors import to_array


class PredictExchange(
    Exchange[esm2_pb2.PredictItem, esm2_pb2.PredictRequest, esm2_pb2.PredictResponse, Prediction]
):
    """Items that a refusal names have failed; the others are sent again without them."""

    def _read(self, response: esm2_pb2.PredictResponse) -> Iterator[ItemResult[Prediction]]:
        for prediction in response.predictions:
            self._require_current(prediction.item_index)
            yield from self._end_item(_prediction(prediction))


def _prediction(prediction: esm2_pb2.Prediction) -> Prediction:
    return Prediction(
        masks=tuple(_mask(mask) for mask in prediction.masks),
        sequence_tokens=tuple(prediction.sequence_tokens),
        logits=to_array(prediction.logits) if prediction.HasField("logits") else None,
    )


def _mask(mask: esm2_pb2.MaskPrediction) -> MaskPrediction:
    candidates = (Candidate(c.residue, c.probability) for c in mask.candidates)
    return MaskPrediction(mask.position, tuple(candidates))
