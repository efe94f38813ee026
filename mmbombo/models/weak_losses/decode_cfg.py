# Copyright (c) mmbombo contributors.


def decode_cfg(score_thr: float, nms_iou_thr: float,
               max_predictions: int) -> dict:
    """Post-processing of the predictions that a weak loss learns from.

    Args:
        score_thr (float): Predictions must score more.
        nms_iou_thr (float): NMS of the predictions.
        max_predictions (int): Predictions per image.

    Returns:
        dict: For the ``cfg`` of :meth:`StepContext.predict`.
    """
    return dict(
        score_thr=score_thr,
        nms=dict(type='nms', iou_threshold=nms_iou_thr),
        max_per_img=max_predictions)
