# Copyright (c) mmbombo contributors.
#: NMS of the predictions that a weak loss learns from.
NMS_IOU_THR = 0.5


def decode_cfg(score_thr: float, max_predictions: int) -> dict:
    """Post-processing of the predictions that a weak loss learns from.

    Args:
        score_thr (float): Predictions must score more.
        max_predictions (int): Predictions per image.

    Returns:
        dict: For the ``cfg`` of :meth:`StepContext.predict`.
    """
    return dict(
        score_thr=score_thr,
        nms=dict(type='nms', iou_threshold=NMS_IOU_THR),
        max_per_img=max_predictions)
